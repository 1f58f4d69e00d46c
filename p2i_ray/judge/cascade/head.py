"""The cascade's head: kernel ridge regression from CLIP features to the judge's score, and where it is sure.

    e(x) = m + k(x, X) (K + r I)^-1 (y - m),   k(a, b) = exp(-s |a - b|^2 / D)

y holds the LMM's expected scores of N sampled rows, X their D standardised features. The solution is closed, so there
is no seed and no number of epochs, and what the head says of each row when it learns from the other N - 1 comes with
it at no cost. Those predictions choose s, r and the two thresholds; no row is set apart for that.

Against a multilayer perceptron with early stopping on the toy world this saved more calls at the same agreement; so
did regressing the expected score instead of p(score >= gamma), the more so with feedback.
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
FARTHEST = 5.0  # standard deviations: one wild feature must not make a row unlike all others
CONFIDENCE = 0.9
DIGITS = 9  # of predictions: the last ones of a float64 depend on how many rows share a matrix product


class Thresholds(NamedTuple):
    """A row is dropped for sure if e <= low and kept for sure if e >= high; infinite where nothing is sure."""

    low: float
    high: float


NOTHING = Thresholds(-np.inf, np.inf)


class Verdicts(NamedTuple):
    """What the head says of M rows."""

    sure: Flags  # (M,)
    score: NDArray[np.int64]  # (M,), 1..5, on the decided side of gamma
    expected: Floats  # (M,), 1..5, on the decided side of gamma
    entropy: Floats  # (M,), nats, 0..ln 5


@dataclass(frozen=True)
class Head:
    """A fitted head: arrays only, so that it is one safetensors file."""

    mean: Floats  # (D,), of the sample's features
    deviation: Floats  # (D,)
    points: Floats  # (N, D), X, float32
    weights: Floats  # (N, 6), (K + r I)^-1 (y - m): of the expected score, and of each score's probability
    offset: Floats  # (6,), m
    scale: Floats  # (), s

    def predict(self, features: Floats) -> Floats:
        """e (not confined to 1..5) and five probabilities (they sum to 1, but may be negative): (M, 6) of (M, D)."""
        points = standardise(features, self.mean, self.deviation)
        values = kernel(points, self.points, float(self.scale)) @ self.weights + self.offset
        return values.round(DIGITS)

    def decide(self, features: Floats, thresholds: Thresholds, gamma: float) -> Verdicts:
        """The verdicts on rows with features (M, D); what isn't sure is for the LMM.

        Both scores of a sure row lie on the decided side of gamma, so that it doesn't matter which is compared with it.
        """
        expected, chances = np.split(self.predict(features), [1], axis=1)  # (M, 1), (M, 5)
        expected = expected[:, 0]
        kept = expected >= thresholds.high
        on_side = (gamma <= SCORES)[None] == kept[:, None]  # (M, 5)
        p = chances.clip(0) / chances.clip(0).sum(axis=1, keepdims=True)
        below = np.nextafter(gamma, 0)
        return Verdicts(
            sure=kept | (expected <= thresholds.low),
            score=SCORES[np.where(on_side, chances, -np.inf).argmax(axis=1)],
            expected=np.where(kept, expected.clip(gamma, 5), expected.clip(1, below)),
            entropy=-(p * np.log(np.where(p > 0, p, 1))).sum(axis=1).clip(max=0),
        )

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        from safetensors.numpy import save

        return save({name: np.ascontiguousarray(values) for name, values in asdict(self).items()})

    @classmethod
    def from_bytes(cls, content: bytes) -> Head:
        """What `to_bytes` gave."""
        from safetensors.numpy import load

        arrays = load(content)
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def fit(features: Floats, scores: NDArray[np.int64], expected: Floats) -> tuple[Head, Floats]:
    """Learn from the LMM's scores of N rows.

    Args:
        features: (N, D), finite.
        scores: (N,), 1..5.
        expected: (N,), 1..5; the scores again where the judge tells no probabilities.

    Returns:
        The head, and e of each row from a head that learned from all others, (N,).
    """
    mean, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    deviation = np.where(spread > 1e-6, spread, 1)  # a column that says nothing stays zero
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
    return Head(mean, deviation, points, weights, offset, np.array(scale)), left_out


def solve(values: Floats, vectors: Floats, targets: Floats, ridge: float) -> tuple[Floats, Floats]:
    """Kernel ridge regression from K's eigenvalues (N,) and eigenvectors (N, N).

    Returns:
        The weights (K + r I)^-1 y, and what is predicted of each row when it is left out: y_i - w_i / (K + r I)^-1_ii;
        both (N, T) for targets (N, T).
    """
    inverse = (vectors / (values.clip(0) + ridge)) @ vectors.T  # (N, N)
    weights = inverse @ targets
    return weights, targets - weights / np.diag(inverse)[:, None]


def kernel(a: Floats, b: Floats, scale: float) -> Floats:
    """exp(-s |a - b|^2 / D): (M, N) of (M, D) and (N, D), computed in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None] - 2 * a @ b.T
    return np.exp(-scale * squares.clip(0) / a.shape[1])


def standardise(features: Floats, mean: Floats, deviation: Floats) -> Floats:
    """(M, D), float32, within FARTHEST."""
    return ((features - mean) / deviation).clip(-FARTHEST, FARTHEST).astype(np.float32)


def choose(predicted: Floats, keep: Flags, agreement: float) -> Thresholds:
    """The thresholds that decide the most rows and show the agreement.

    Args:
        predicted: (N,), e of each row from a head that hasn't seen it.
        keep: (N,), the LMM's decision.
        agreement: share of decisions that must be the LMM's own, its rows included.
    """
    most = allowed(len(keep), agreement)
    return widest(predicted, keep, most) if most >= 0 else NOTHING


def widest(predicted: Floats, keep: Flags, most: int) -> Thresholds:
    """The thresholds that decide the most rows, at most `most` of them wrongly, and as few as that allows."""
    levels, at = np.unique(predicted, return_inverse=True)  # (L,); equal predictions are decided alike
    kept, dropped = (np.bincount(at, weights=side, minlength=len(levels)) for side in (keep, ~keep))
    below = np.append(0, (kept + dropped).cumsum())  # [i]: rows before level i
    wrong_low = np.append(0, kept.cumsum())  # [i]: of these, kept by the LMM
    wrong_high = np.append(dropped[::-1].cumsum()[::-1], 0)  # [j]: from level j on, dropped by the LMM
    low = np.flatnonzero(wrong_low <= most)  # each number of levels that may be dropped for sure
    high = np.searchsorted(-wrong_high, wrong_low[low] - most)  # the first level with few enough wrong from there on
    high = np.maximum(high, low)
    undecided, wrong = below[high] - below[low], wrong_low[low] + wrong_high[high]
    best = np.lexsort((wrong, undecided))[0]
    i, j = int(low[best]), int(high[best])
    return Thresholds(levels[i - 1] if i else -np.inf, levels[j] if j < len(levels) else np.inf)


def allowed(rows: int, agreement: float) -> int:
    """How many of so many decisions may be wrong; -1: even none is too few to show the agreement.

    The Clopper-Pearson lower bound of the share of right decisions must reach the agreement. Each threshold stops just
    before the next wrong decision, which is why two more are counted: without them the bound is too often missed.
    """
    from scipy.stats import beta

    wrong = np.arange(rows)
    bounds = beta.ppf(1 - CONFIDENCE, rows - wrong, wrong + 1)  # of the right share; falls with `wrong`
    return max(int((bounds >= agreement).sum()) - 1 - 2, -1)


def wrong_decisions(predicted: Floats, keep: Flags, thresholds: Thresholds) -> Flags:
    """Which rows (N,) are decided, and not as the LMM did."""
    return np.where(keep, predicted <= thresholds.low, predicted >= thresholds.high)


def area_under_curve(predicted: Floats, keep: Flags) -> float | None:
    """The chance that a kept row is predicted above a dropped one; none where either is lacking."""
    from scipy.stats import mannwhitneyu

    if keep.all() or not keep.any():
        return None
    return float(mannwhitneyu(predicted[keep], predicted[~keep]).statistic / (keep.sum() * (~keep).sum()))
