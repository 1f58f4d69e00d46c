"""The judge: the LMM that scores (R), criticises (F) and summarises (SUM) in Algorithm 1.

Its engines start once and stay warm over several datasets, because a start takes longer than judging a thousand rows.
They are a Ray Serve application without an HTTP port; Ray Data tasks send them the rows.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from p2i_ray.cluster import resources
from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.data import images
from p2i_ray.errors import UserError
from p2i_ray.judge.batch.ask import CACHED, AskContext, ask, ask_file
from p2i_ray.judge.batch.cache import open_cache, with_picture_hashes
from p2i_ray.judge.batch.deployment import DEPLOYMENT, EngineDeployment, rows_in_flight
from p2i_ray.judge.engines import model_folder
from p2i_ray.judge.engines.openai.client import OpenAIEngine
from p2i_ray.judge.engines.vllm.replica import VLLMEngine
from p2i_ray.judge.requests import flaws, summary
from p2i_ray.judge.requests.answers import RequestRefused
from p2i_ray.judge.requests.prompts import Exemplar, Prompt, load_prompts, load_suitability, summary_messages
from p2i_ray.judge.requests.suitability import SuitabilityTask
from p2i_ray.judge.requests.tasks import ChatRequest, CritiqueTask, JudgeTask, Reply, ScoreTask
from p2i_ray.storage import parquet

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data

log = logging.getLogger(__name__)
# How vLLM says that a prompt has too many tokens.
TOO_LONG = re.compile(r"context length|max_model_len|maximum (model )?length|too long|longer than|input tokens", re.I)


class Judge:
    """R, F and SUM on vLLM engines or a hosted endpoint. A context manager: leaving it stops the engines.

    Args:
        settings: settings of the judge.
        image: limits and size of pictures.
        seed: passed to the engines.
        cache: location of the answer cache unless settings.cache names one, a path or URI that all nodes reach (none:
            answers are not cached).
        engine: class of the Serve replicas (none: VLLMEngine, or OpenAIEngine where settings name an endpoint).
        starting: context manager that is entered whenever the engines start and left when they are ready.

    Raises:
        UserError: a prompt file is wrong, or the model can't be used as a judge.
    """

    def __init__(
        self,
        settings: JudgeConfig,
        image: ImageConfig,
        seed: int = 0,
        *,
        cache: str | None = None,
        engine: type | None = None,
        starting: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        model = settings.model if settings.hosted.url else model_folder.check(settings.model)
        self.settings = settings.model_copy(update={"model": model})
        self.prompts = load_prompts(settings.prompts, settings.reasoned, settings.show_cutout)
        flaws.check(self.prompts.critique, settings.flaws)
        self._image, self._seed = image, seed
        self._cache = settings.cache or cache
        self._starting = starting
        self._engine = engine or (OpenAIEngine if settings.hosted.url else VLLMEngine)
        self._deployment: EngineDeployment | None = None
        self._lock = threading.RLock()

    def score(
        self,
        rows: ray.data.Dataset,
        out: str,
        *,
        feedback: str = "",
        exemplars: Sequence[Exemplar] = (),
        gamma: float = 4,
        threshold_on: Literal["score", "expected_score"] = "score",
        prompt: Prompt | None = None,
        by_head: bool = True,
        progress: parquet.Progress | None = None,
    ) -> parquet.Written:
        """R(x, p_R, c_R, f) for every row: Parquet files with the columns of tasks.SCORES.

        Args:
            rows: the columns of `columns`.
            out: folder, a path or URI.
            feedback: f of the previous round; empty in the first.
            exemplars: c_R.
            gamma: lowest score that will be kept. What the feedback names gets a score below it, and a cascade's head
                must agree with the LMM on it.
            threshold_on: the score that gamma is compared with; only a cascade uses it.
            prompt: asked in place of p_R: another question whose answer is a score.
            by_head: false: the LMM is asked about every row, also where a cascade's head could decide.
            progress: called with the number of rows just written.
        """
        settings = self.settings
        task = ScoreTask(
            prompt or self.prompts.score,
            feedback,
            tuple(exemplars),
            max_reason_tokens=settings.max_reason_tokens if settings.reasoned else None,
            scores_only=bool(settings.hosted.url) and not settings.hosted.logprobs,
            cap=cap_below(gamma),
        )
        if not settings.cascade.clip or not by_head:
            return self._ask(rows, task, out, progress)
        from p2i_ray.judge.cascade import cascade

        return cascade.score(
            rows,
            out,
            ask=lambda some, folder, report: self._ask(some, task, folder, report),
            gamma=gamma,
            column=threshold_on,
            settings=settings,
            image=self._image,
            seed=self._seed,
            progress=progress,
        )

    def critique(
        self, rows: ray.data.Dataset, out: str, *, progress: parquet.Progress | None = None
    ) -> parquet.Written:
        """F(x_dev, I_dev, p_F) for every row: Parquet files with the columns of tasks.CRITIQUES."""
        return self._ask(rows, self._critique_task(), out, progress)

    def suitability(
        self, rows: ray.data.Dataset, out: str, *, progress: parquet.Progress | None = None
    ) -> parquet.Written:
        """The probability that each row's background suits its product: files with the columns of SUITABILITY.

        Raises:
            UserError: see `check_probabilities`.
        """
        self.check_probabilities()
        return self._ask(rows, SuitabilityTask(load_suitability(self.settings.show_cutout)), out, progress)

    def check_probabilities(self) -> None:
        """Check that replies come with probabilities.

        Raises:
            UserError: the endpoint is not asked for them.
        """
        hosted = self.settings.hosted
        if hosted.url and not hosted.logprobs:
            raise UserError("vqa_score needs the judge's probabilities; set judge.hosted.logprobs=true")

    def critique_early(self) -> Callable[[str], ray.ObjectRef[int]]:
        """A function that critiques the rows of one file into the cache, where `critique` finds the answers later.

        The function takes the location of a Parquet file with the columns of `columns`, and returns at once: a
        reference to the number of rows that were not in the cache yet.
        """
        import ray

        remote = ray.remote(**resources.ASK.options())(ask_file)
        context = self._context(self._critique_task())
        return lambda file: remote.remote(file, context)

    def summarise(self, folder: str, files: Sequence[str]) -> str:
        """SUM(…, p_S): one feedback text from the critiques of a round.

        Where judge.summary_examples comments are too long for the model, it is shown fewer, and a warning says so.

        Raises:
            UserError: no picture could be criticised, or the engine refuses the summary prompt.
        """
        critiques = parquet.read_parquet(folder, list(files))
        text = self._summary(critiques, self.settings.summary_examples)
        if not text:
            raise UserError("the judge's summary of the critiques is empty; look at the prompts in judge.prompts")
        return text

    def conditions(self) -> dict[str, str]:
        """Facts that its answers about generated pictures depend on, by name; `weights` is the model's fingerprint."""
        settings = self.settings
        model = settings.model if settings.hosted.url else model_folder.fingerprint(settings.model)
        return {
            "weights": f"{settings.hosted.url} {model}".strip() if settings.hosted.url else model,
            "prompts": f"{self.prompts.critique.version}, {load_suitability(settings.show_cutout).version}",
            "flaws": ", ".join(flaws.names(settings.flaws)),
            "show_cutout": str(settings.show_cutout),
            "dtype": settings.dtype,
        }

    @property
    def columns(self) -> list[str]:
        """The columns of the rows that it is asked about."""
        return ["id", "name", "image", *(["cutout"] if self.settings.show_cutout else [])]

    @property
    def keeps_answers(self) -> bool:
        """Whether answers are cached, so that no request is made twice."""
        return self._cache is not None

    def start(self) -> EngineDeployment:
        """Start the engines unless they run already; returns when they are ready.

        Raises:
            UserError: the cluster has too few CPUs or GPUs, or the model doesn't load.
        """
        with self._lock:  # another thread may start them early
            if self._deployment is None:
                with self._starting():
                    self._deployment = EngineDeployment(self.settings, self._image, self._seed, self._engine)
            return self._deployment

    def stop(self) -> None:
        """Stop the engines and free what they hold; does nothing if they don't run."""
        with self._lock:
            if self._deployment:
                self._deployment.stop()
                self._deployment = None

    def release(self) -> None:
        """Stop the engines unless judge.keep_warm, since the next step may need their GPUs. A hosted judge has none."""
        if not self.settings.keep_warm and not self.settings.hosted.url:
            self.stop()

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or not issubclass(kind, KeyboardInterrupt):
            self.stop()  # else it ends with the driver: to wait for engines that start now would take minutes

    def _ask(
        self, rows: ray.data.Dataset, task: JudgeTask, out: str, progress: parquet.Progress | None
    ) -> parquet.Written:
        if not self.settings.hosted.url:  # there, every request costs money
            self._probe(task)
        answered = ask(rows, self._context(task), rows_in_flight(self.settings))
        written = parquet.write_parquet(answered, out, task.schema, progress, rows_per_file=None, tally=(CACHED,))
        return written._replace(facts={**written.facts, **self.start().new_usage()})

    def _summary(self, critiques: pa.Table, number: int) -> str:
        """The reply to the summary prompt with so many comments, or with half as many where that is too long."""
        known = flaws.names(self.settings.flaws)
        examples = summary.examples(critiques, known, number)
        messages = summary_messages(self.prompts.summary, summary.tally(critiques, known), examples)
        try:
            return self._reply(ChatRequest(messages, self.settings.max_summary_tokens)).text.strip()
        except RequestRefused as error:
            if not number or not TOO_LONG.search(str(error)):
                raise UserError(f"the critiques can't be summed up: {error}; {self._advice(str(error))}") from None
            log.warning(
                "the summary of the critiques shows %d of %d comments: more don't fit judge.max_model_len=%d",
                number // 2,
                number,
                self.settings.max_model_len,
            )
            return self._summary(critiques, number // 2)

    def _critique_task(self) -> CritiqueTask:
        return CritiqueTask(self.prompts.critique, self.settings.max_reason_tokens, self.settings.flaws)

    def _context(self, task: JudgeTask) -> AskContext:
        """The context of Ray Data's tasks; starts the engines."""
        cache = open_cache(self._cache, self._about(task), task.schema) if self._cache else None
        return AskContext(
            task=task,
            application=self.start().name,
            deployment=DEPLOYMENT,
            limits=self._image,
            max_name_chars=self.settings.max_name_chars,
            columns=self.columns,
            cache=cache,
        )

    def _probe(self, task: JudgeTask) -> None:
        """Ask about a grey picture first: a prompt that is too long for every row should fail before the first one.

        Raises:
            UserError: prompt, feedback and exemplars are too long for the engine, or the model can't be asked at all.
        """
        side = self._image.resolution
        picture = images.encode_png(np.full((side, side, 3), 127, np.uint8))
        try:
            self._reply(task.request("product", picture, picture if self.settings.show_cutout else None))
        except RequestRefused as error:
            raise UserError(f"{error}; {self._advice(str(error))}") from None

    def _advice(self, refusal: str) -> str:
        """Advice for an engine that refuses every row."""
        if TOO_LONG.search(refusal):
            return (
                "shorten the files of judge.prompts, the feedback or the exemplars, or raise "
                f"judge.max_model_len={self.settings.max_model_len}"
            )
        return f"look at the chat template and the processor's files of judge.model={self.settings.model}"

    def _reply(self, request: ChatRequest) -> Reply:
        from p2i_ray.judge.batch.retry import reply_with_retry

        return reply_with_retry(self.start().handle(), request)

    def _about(self, task: JudgeTask) -> dict[str, Any]:
        """Everything except the sample that an answer depends on: the request for an empty sample, and the model."""
        settings, request = self.settings, task.request("", b"", b"" if self.settings.show_cutout else None)
        if settings.hosted.url:
            model = {"model": settings.model, **settings.hosted.model_dump(include={"url", "constraint", "logprobs"})}
        else:
            fingerprint = model_folder.fingerprint(settings.model)
            model = {"model": fingerprint, "dtype": settings.dtype, "quantization": settings.quantization}
            limits = {"min_pixels": settings.min_pixels, "max_pixels": settings.max_pixels}
            model |= {name: value for name, value in limits.items() if value}
        return {  # hashed: with another key or order, existing caches would no longer be found
            **model,
            "messages": [with_picture_hashes(message) for message in request.messages],
            "max_tokens": request.max_tokens,
            "choice": request.choice,
            "form": request.grammar,
        }


def cap_below(gamma: float) -> int:
    """The highest whole score that is not kept at gamma; 1 where all are kept."""
    return max(1, math.ceil(gamma) - 1)
