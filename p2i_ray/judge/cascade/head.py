"""The cascade's head: kernel ridge regression from CLIP features to the judge's score, with decision thresholds.

    e(x) = m + k(x, X) (K + r I)^-1 (y - m),   k(a, b) = exp(-s |a - b|^2 / D)

y holds the LMM's expected scores of N sampled rows, X their D standardised features. The solution is in closed form: it
needs no seed and no number of epochs, and also gives the leave-one-out prediction of each row at no cost. Those
predictions select s, r and the two thresholds, without a validation split.

On the toy world this saved more calls at the same agreement than a multilayer perceptron with early stopping; so did
regression of the expected score instead of p(score >= gamma), in particular with feedback.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]

SCORES = np.arange(1, 6)
SCALES = (0.125, 0.25, 0.5, 1.0, 2.0)  # s
RIDGES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)  # r
MAX_DEVIATIONS = 5.0  # standard deviations: one outlying feature must not make a row unlike all others
CONFIDENCE = 0.9
DIGITS = 9  # predictions are rounded: the last digits of a float64 depend on the number of rows in a matrix product


class Thresholds(NamedTuple):
    """A row is certainly dropped if e <= low and certainly kept if e >= high; infinite where no row is certain."""

    low: float
    high: float


NONE_CERTAIN = Thresholds(-np.inf, np.inf)


class Decisions(NamedTuple):
    """The head's decisions on M rows."""

    certain: Flags  # (M,)
    score: NDArray[np.int64]  # (M,), 1..5, on the decided side of gamma
    expected: Floats  # (M,), 1..5, on the decided side of gamma
    entropy: Floats  # (M,), nats, 0..ln 5


@dataclass(frozen=True)
class Head:
    """A fitted head; it has only arrays, so that it fits into one safetensors file."""

    mean: Floats  # (D,), mean of the sample's features
    deviation: Floats  # (D,)
    points: Floats  # (N, D), X, float32
    weights: Floats  # (N, 6), (K + r I)^-1 (y - m): of the expected score, and of each score's probability
    offset: Floats  # (6,), m
    scale: Floats  # (), s

    def predict(self, features: Floats) -> Floats:
        """Predict e (not clipped) and five probabilities (they sum to 1, may be negative): (M, 6) from (M, D)."""
        points = standardise(features, self.mean, self.deviation)
        values = kernel(points, self.points, np.asarray(self.scale).item()) @ self.weights + self.offset
        return values.round(DIGITS)

    def decide(self, features: Floats, thresholds: Thresholds, gamma: float) -> Decisions:
        """Decide on rows with features (M, D); rows that are not certain are for the LMM.

        Both scores of a certain row lie on the decided side of gamma, so either can be compared with it.
        """
        expected, chances = np.split(self.predict(features), [1], axis=1)  # (M, 1), (M, 5)
        expected = expected[:, 0]
        kept = expected >= thresholds.high
        on_side = (gamma <= SCORES)[None] == kept[:, None]  # (M, 5)
        p = chances.clip(0) / chances.clip(0).sum(axis=1, keepdims=True)
        below = np.nextafter(gamma, 0)
        return Decisions(
            certain=kept | (expected <= thresholds.low),
            score=SCORES[np.where(on_side, chances, -np.inf).argmax(axis=1)],
            expected=np.where(kept, expected.clip(gamma, 5), expected.clip(1, below)),
            entropy=-(p * np.log(np.where(p > 0, p, 1))).sum(axis=1).clip(max=0),
        )

    def to_bytes(self) -> bytes:
        """The content of a safetensors file."""
        from safetensors.numpy import save

        return save({name: np.ascontiguousarray(values) for name, values in asdict(self).items()})

    @classmethod
    def from_bytes(cls, content: bytes) -> Head:
        """Restore a head from the bytes of `to_bytes`."""
        from safetensors.numpy import load

        arrays = load(content)
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def fit(features: Floats, scores: NDArray[np.int64], expected: Floats) -> tuple[Head, Floats]:
    """Fit a head to the LMM's scores of N rows.

    Args:
        features: (N, D), finite.
        scores: (N,), 1..5.
        expected: (N,), 1..5; the scores again where the judge returns no probabilities.

    Returns:
        The head, and the leave-one-out prediction of e for each row, (N,).
    """
    mean, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    deviation = np.where(spread > 1e-6, spread, 1)  # a constant column stays zero
    points = standardise(features, mean, deviation)  # (N, D)
    targets = np.column_stack([expected, scores[:, None] == SCORES]).astype(np.float64)  # (N, 6)
    offset = targets.mean(axis=0)
    best: tuple[float, float, Floats, Floats] | None = None
    for scale in SCALES:
        eigen = np.linalg.eigh(kernel(points, points, scale))
        for ridge in RIDGES:
            weights, left_out = solve(*eigen, targets - offset, ridge)
            error = float(np.square(left_out[:, 0] + offset[0] - expected).mean())
            if best is None or error < best[0]:
                best = (error, scale, weights, left_out[:, 0] + offset[0])
    assert best is not None
    _, scale, weights, left_out = best
    head = Head(mean=mean, deviation=deviation, points=points, weights=weights, offset=offset, scale=np.array(scale))
    return head, left_out


def solve(values: Floats, vectors: Floats, targets: Floats, ridge: float) -> tuple[Floats, Floats]:
    """Solve kernel ridge regression from K's eigenvalues (N,) and eigenvectors (N, N).

    Returns:
        The weights (K + r I)^-1 y, and the leave-one-out prediction of each row: y_i - w_i / (K + r I)^-1_ii;
        both (N, T) for targets (N, T).
    """
    inverse = (vectors / (values.clip(0) + ridge)) @ vectors.T  # (N, N)
    weights = inverse @ targets
    return weights, targets - weights / np.diag(inverse)[:, None]


def kernel(a: Floats, b: Floats, scale: float) -> Floats:
    """The kernel exp(-s |a - b|^2 / D): (M, N) from (M, D) and (N, D), computed in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None] - 2 * a @ b.T
    similarity: Floats = np.exp(-scale * squares.clip(0) / a.shape[1])
    return similarity


def standardise(features: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Standardised features (M, D), float32, clipped to MAX_DEVIATIONS."""
    return ((features - mean) / deviation).clip(-MAX_DEVIATIONS, MAX_DEVIATIONS).astype(np.float32)


def choose(predicted: Floats, keep: Flags, agreement: float) -> Thresholds:
    """Choose the thresholds that decide the most rows and show the agreement.

    Args:
        predicted: (N,), leave-one-out predictions of e.
        keep: (N,), the LMM's decision.
        agreement: fraction of decisions, including the LMM's rows, that must equal the LMM's.
    """
    most = allowed(len(keep), agreement)
    return widest(predicted, keep, most) if most >= 0 else NONE_CERTAIN


def widest(predicted: Floats, keep: Flags, most: int) -> Thresholds:
    """The thresholds that decide the most rows with at most `most` errors, and among these the fewest errors."""
    levels, at = np.unique(predicted, return_inverse=True)  # (L,); equal predictions are decided alike
    kept, dropped = (np.bincount(at, weights=side, minlength=len(levels)) for side in (keep, ~keep))
    below = np.append(0, (kept + dropped).cumsum())  # [i]: rows before level i
    wrong_low = np.append(0, kept.cumsum())  # [i]: of these, kept by the LMM
    wrong_high = np.append(dropped[::-1].cumsum()[::-1], 0)  # [j]: from level j on, dropped by the LMM
    low = np.flatnonzero(wrong_low <= most)  # each number of levels that may be certainly dropped
    high = np.searchsorted(-wrong_high, wrong_low[low] - most)  # the first level with few enough errors from there on
    high = np.maximum(high, low)
    undecided, wrong = below[high] - below[low], wrong_low[low] + wrong_high[high]
    best = np.lexsort((wrong, undecided))[0]
    i, j = int(low[best]), int(high[best])
    return Thresholds(levels[i - 1] if i else -np.inf, levels[j] if j < len(levels) else np.inf)


def allowed(rows: int, agreement: float) -> int:
    """The number of decisions that may be wrong; -1: there are too few rows to show the agreement even without errors.

    The Clopper-Pearson lower bound of the fraction of right decisions must reach the agreement. Each threshold stops
    just before the next wrong decision, so two more are counted: without them the bound is missed too often.
    """
    from scipy.stats import beta

    wrong = np.arange(rows)
    bounds = beta.ppf(
        1 - CONFIDENCE, rows - wrong, wrong + 1
    )  # of the fraction of right decisions; decreases with `wrong`
    return max(int((bounds >= agreement).sum()) - 1 - 2, -1)


def wrong_decisions(predicted: Floats, keep: Flags, thresholds: Thresholds) -> Flags:
    """Whether each row (N,) is decided differently from the LMM."""
    return np.where(keep, predicted <= thresholds.low, predicted >= thresholds.high)


def area_under_curve(predicted: Floats, keep: Flags) -> float | None:
    """The probability that a kept row is predicted above a dropped one; None without rows of both kinds."""
    from scipy.stats import mannwhitneyu

    if keep.all() or not keep.any():
        return None
    return float(mannwhitneyu(predicted[keep], predicted[~keep]).statistic / (keep.sum() * (~keep).sum()))
