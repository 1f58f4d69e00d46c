"""Whether a painted image may be handed out: its product measured, its flaws named by the judge, the reasons counted.

A request says what it accepts: any image; one whose product is faultless; or one that is approved, which is faultless
and in which the judge names no flaw. The reasons are the names in judge.flaws and config.flaws.MEASURED.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from p2i_ray.config.flaws import NOT_JUDGED
from p2i_ray.config.truth import TruthConfig
from p2i_ray.data.images import Pixels
from p2i_ray.serve.edge.errors import APIError
from p2i_ray.serve.edge.metrics import HTTPMetrics
from p2i_ray.serve.images import truth
from p2i_ray.serve.images.label import LabelReader
from p2i_ray.serve.images.patience import patiently
from p2i_ray.serve.images.protocol import Ranker
from p2i_ray.serve.images.threads import StageThreads, gather
from p2i_ray.serve.images.truth import TruthReport

Accept = Literal["any", "faultless", "approved"]


@dataclass(frozen=True)
class Assessment:
    """The assessment of an image: the truth report, and reasons for a refusal; without reasons it is accepted."""

    report: TruthReport
    reasons: tuple[str, ...] = ()


@dataclass
class Tally:
    """The cost of a request's images.

    Attributes:
        painted: how many there were.
        seconds: of replicas.
        refused: how many were, by reason; one image may have several.
    """

    painted: int = 0
    seconds: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)

    def totals(self) -> dict[str, Any]:
        """The fields of a response or of a job's record."""
        found: dict[str, Any] = {"painted": self.painted, "replica_seconds": round(self.seconds, 3)}
        return found | ({"refused": dict(self.refused)} if self.refused else {})


class NoneAcceptedError(APIError):
    """No image of a request is accepted; the tally says why."""

    def __init__(self, accept: Accept, tally: Tally) -> None:
        counted = ", ".join(f"{reason} ({times})" for reason, times in tally.refused.most_common())
        were = "is faultless" if accept == "faultless" else "was approved"
        text = f"none of {tally.painted} painted pictures {were}: {counted}; raise max_candidates, or send accept=any"
        super().__init__(422, text, "accept", "none_accepted")


class Assessor:
    """Measures images and asks the judge. For one event loop.

    Args:
        limits: of a faultless product.
        judge: names flaws (none: no request wants approval).
        reader: reads labels (none: they are not read).
        tolerated: names of flaws with which an image is approved all the same.
        threads: images are measured there.
        metrics: reports and refusals are counted there.
    """

    def __init__(
        self,
        *,
        limits: TruthConfig,
        judge: Ranker | None,
        reader: LabelReader | None,
        tolerated: Sequence[str],
        threads: StageThreads,
        metrics: HTTPMetrics,
    ) -> None:
        self.limits, self._judge, self._reader, self._metrics = limits, judge, reader, metrics
        self._tolerated = frozenset(tolerated)
        self._threads = threads

    async def report(self, picture: Pixels, product: Pixels, mask: Pixels) -> TruthReport:
        """The truth report of one image; see `truth.report`."""
        found = await self._threads.run("truth", partial(truth.report, picture, product, mask, self._reader))
        self._metrics.reported(found.faults(self.limits))
        return found

    async def assess(
        self, name: str, pictures: Sequence[Pixels], product: Pixels, mask: Pixels, *, accept: Accept, source: str
    ) -> list[Assessment]:
        """An assessment of each image (H, W, 3) of one product, in their order.

        Raises:
            Overloaded, NotReady: from the judge, which a job waits for.
        """
        reports = await gather([self.report(picture, product, mask) for picture in pictures])
        reasons = [list(found.faults(self.limits)) for found in reports]
        if accept == "approved":
            true = [place for place, faults in enumerate(reasons) if not faults]  # of the others nothing more is asked
            named = await patiently(lambda: self._flaws(name, [pictures[k] for k in true]), source)
            for place, flaws in zip(true, named, strict=True):
                reasons[place] += [NOT_JUDGED] if flaws is None else [f for f in flaws if f not in self._tolerated]
        found = [Assessment(report, tuple(why)) for report, why in zip(reports, reasons, strict=True)]
        self._metrics.assessed(accept, [one.reasons for one in found])
        return found

    async def _flaws(self, name: str, pictures: Sequence[Pixels]) -> list[tuple[str, ...] | None]:
        if not pictures:
            return []
        if self._judge is None:
            raise RuntimeError("no judge could approve of images; the request should have been refused")
        with self._metrics.stage("critique"):
            found = await self._judge.flaws(name, pictures)
        if len(found) != len(pictures):
            raise RuntimeError("the judge gave another number of critiques than there are pictures")
        return found
