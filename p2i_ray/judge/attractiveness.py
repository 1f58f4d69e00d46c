"""A cleaning rule that the judge decides: scenes that are no attractive product photos are kept out of the data.

The photos are asked about as the data set would have them, in one pass over what an ingestion made, before products
get their splits. Answers are cached, so that an ingestion that is started again, or that adds photos, asks no question
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from p2i_ray.cluster.resources import READ
from p2i_ray.config import JudgeConfig
from p2i_ray.config.planning import RunPlanConfig
from p2i_ray.console.durations import duration
from p2i_ray.data import reading
from p2i_ray.judge.judge import Judge
from p2i_ray.judge.requests.prompts import Prompt, load_attractiveness
from p2i_ray.storage import locations, parquet
from p2i_ray.storage.parquet import Progress

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ["id", "score", "reason", "error"]
PIXELS_PER_TOKEN = 28 * 28  # of a picture, in Qwen-VL and, roughly, at hosted endpoints
CHARS_PER_TOKEN = 4  # of English


class Attractiveness:
    """Asks the judge about the photos of an ingestion.

    Attributes:
        judge: the judge.
        prompt: the question.

    Args:
        judge: it is released after each pass, but not stopped; see Judge.release.
        least: lowest score that is kept.
        prompt: file of the prompt; none: the built-in one.
        phase: makes the context manager of the progress of so many photos.

    Raises:
        UserError: the prompt can't be used.
    """

    def __init__(
        self,
        judge: Judge,
        least: int,
        prompt: str | None = None,
        phase: Callable[[int], AbstractContextManager[Progress | None]] = lambda _: nullcontext(),
    ) -> None:
        settings = judge.settings
        self.prompt = load_attractiveness(prompt, settings.reasoned, settings.show_cutout)
        self.judge, self._least, self._phase = judge, least, phase

    def __call__(self, samples: str, files: Sequence[str], *, work: str, photos: int) -> dict[str, str]:
        """Reasons for setting rows aside, by their ids; rows that are kept are not in the answer.

        Args:
            samples: folder of Parquet files with EPBD's columns. Rows without a scene are not asked about.
            files: their names.
            work: folder for the answers; the caller removes it.
            photos: the number of rows with a scene.

        Raises:
            UserError: the engines don't start, or the endpoint can't go on.
        """
        if not photos:
            return {}
        rows = reading.read_files(samples, files).select_columns(self.judge.columns)
        rows = rows.map_batches(
            _with_scene,
            batch_format="pyarrow",
            batch_size=None,
            zero_copy_batch=True,
            **READ.task_options(),
        )
        with self._phase(photos) as progress:
            written = self.judge.score(rows, work, gamma=self._least, prompt=self.prompt, progress=progress)
        self.judge.release()
        return dict(self._reasons(work, written))

    def _reasons(self, work: str, written: parquet.Written) -> Iterator[tuple[str, str]]:
        for file in written.files:
            for row in parquet.read_parquet(work, [file], COLUMNS).to_pylist():
                if row["error"] is not None:
                    yield row["id"], f"not judged: {row['error']}"
                elif row["score"] < self._least:
                    why = f" ({' '.join(row['reason'].split())})" if row["reason"] else ""
                    yield (
                        row["id"],
                        f"unattractive: the judge gives it a {row['score']}{why}; "
                        f"ingest.cleaning.min_attractiveness={self._least}",
                    )


def forecast(settings: JudgeConfig, prompt: Prompt, photos: int, side: int) -> str:
    """The time and cost of asking about so many photos, in one line.

    Args:
        settings: of the judge.
        prompt: the question.
        photos: at most so many are asked about.
        side: of a photo, pixels.
    """
    if settings.hosted.url:
        return f"up to {photos:,} requests to {settings.hosted.url}{_price(settings, prompt, photos, side)}"
    rate = _default("reasoned_per_s" if settings.reasoned else "scored_per_s")
    engines = settings.max_replicas or settings.replicas
    model = settings.model.rstrip("/").rpartition("/")[2]
    return (
        f"up to {photos:,} photos, by {engines} engine{'s' * (engines > 1)} of {model}: on A100s, a model of 7B would "
        f"take {duration(_default('engine_start_s') + photos / rate / engines)}"
    )


def _price(settings: JudgeConfig, prompt: Prompt, photos: int, side: int) -> str:
    prices = settings.hosted
    if not (prices.usd_per_million_input or prices.usd_per_million_output):
        return "; set judge.hosted.usd_per_million_input and usd_per_million_output to see the price"
    text = len(prompt.system) + len(prompt.reasoned if settings.reasoned else prompt.user)
    pictures = (1 + settings.show_cutout) * side * side / PIXELS_PER_TOKEN
    tokens = text / CHARS_PER_TOKEN + pictures
    answer = settings.max_reason_tokens if settings.reasoned else 1
    usd = photos * (tokens * prices.usd_per_million_input + answer * prices.usd_per_million_output) / 1e6
    limit = "" if prices.max_usd is None else f", at most {prices.max_usd:g} (judge.hosted.max_usd)"
    return f": about {usd:.2f} US dollars, at {tokens:.0f} tokens a request and the prices of judge.hosted{limit}"


def _default(setting: str) -> float:
    """An assumption of a run's plan."""
    return float(RunPlanConfig.model_fields[setting].default)


def _with_scene(batch: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    return batch.filter(pc.is_valid(batch["image"]))


def cache(out: str) -> str:
    """The location of the answers, beside the data."""
    return locations.join(out, "judge-cache")
