"""THE JUDGE: the LMM that scores (R), criticises (F) and sums up (SUM) in Algorithm 1.

Its engines are started once and stay warm over the datasets that they are asked about, because a start costs more
than a thousand rows. They are a Ray Serve application without an HTTP port; Ray Data's tasks bring the rows.
"""

from __future__ import annotations

import hashlib
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
from p2i_ray.judge.batch.cache import open_cache
from p2i_ray.judge.batch.deployment import DEPLOYMENT, EngineDeployment, rows_in_flight
from p2i_ray.judge.engines import model_folder
from p2i_ray.judge.engines.openai.client import OpenAIEngine
from p2i_ray.judge.engines.vllm.replica import VLLMEngine
from p2i_ray.judge.requests import summary
from p2i_ray.judge.requests.answers import RequestRefused
from p2i_ray.judge.requests.prompts import Exemplar, load_prompts, summary_messages
from p2i_ray.judge.requests.tasks import ChatRequest, CritiqueTask, JudgeTask, Reply, ScoreTask
from p2i_ray.storage import parquet

if TYPE_CHECKING:
    import ray.data


class Judge:
    """R, F and SUM on vLLM engines. A context manager: leaving it stops the engines.

    Args:
        settings: the judge's.
        image: limits and size of pictures.
        seed: handed to the engines.
        cache: where answers are kept unless settings.cache says so, a path or URI that all nodes reach (none: nowhere).
        engine: the class of the engines' replicas (none: what the settings say).
        starting: entered whenever the engines start, and left when they answer.

    Raises:
        UserError: a prompt file is wrong, or the model can't be a judge.
    """

    def __init__(
        self,
        settings: JudgeConfig,
        image: ImageConfig,
        seed: int = 0,
        cache: str | None = None,
        engine: type | None = None,
        starting: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        model = settings.model if settings.hosted.url else model_folder.check(settings.model)
        self.settings = settings.model_copy(update={"model": model})
        self.prompts = load_prompts(settings.prompts, settings.reasoned)
        self._image = image
        self._seed = seed
        self._cache = settings.cache or cache
        self._starting = starting
        self._engine = engine or (OpenAIEngine if settings.hosted.url else VLLMEngine)
        self._application: EngineDeployment | None = None
        self._bill: dict[str, float] = {}
        self._lock = threading.RLock()

    def score(
        self,
        rows: ray.data.Dataset,
        out: str,
        feedback: str = "",
        progress: parquet.Progress | None = None,
        exemplars: Sequence[Exemplar] = (),
        gamma: float = 4,
        threshold_on: Literal["score", "expected_score"] = "score",
    ) -> parquet.Written:
        """R(x, p_R, c_R, f) for every row: Parquet files with the columns of questions.SCORES.

        Args:
            rows: columns id, name, image.
            out: folder, a path or URI.
            feedback: f of the round before; empty in the first.
            progress: told the number of rows just written.
            exemplars: c_R.
            gamma, threshold_on: lowest score that will be kept, and which score that is: what a cascade has to agree
                on; without one they change nothing.
        """
        settings = self.settings
        reason = settings.max_reason_tokens if settings.reasoned else None
        scores_only = bool(settings.hosted.url) and not settings.hosted.logprobs
        asker = ScoreTask(self.prompts.score, feedback, tuple(exemplars), reason, scores_only)
        if not settings.cascade.clip:
            return self._ask(rows, asker, out, progress)
        from p2i_ray.judge.cascade import cascade

        def ask_all(some: ray.data.Dataset, folder: str, told: parquet.Progress | None) -> parquet.Written:
            return self._ask(some, asker, folder, told)

        return cascade.score(
            rows, out, gamma, settings, self._image, self._seed, ask_all, progress, column=threshold_on
        )

    def critique(self, rows: ray.data.Dataset, out: str, progress: parquet.Progress | None = None) -> parquet.Written:
        """F(x_dev, I_dev, p_F) for every row: Parquet files with the columns of questions.CRITIQUES."""
        return self._ask(rows, self._criticising(), out, progress)

    def critique_early(self) -> Callable[[str], ray.ObjectRef]:
        """A function that has a file's rows criticised into the cache, where `critique` finds the answers.

        It takes the location of a Parquet file with the columns id, name and image, and returns at once; what it
        returns is the number of rows that were asked about.
        """
        import ray

        task = ray.remote(**resources.ASK.options())(ask_file)
        asking = self._asking(self._criticising())
        return lambda file: task.remote(file, asking)

    def summarise(self, folder: str, files: Sequence[str]) -> str:
        """SUM(…, p_S): one feedback text from the critiques of a round.

        Raises:
            UserError: no picture could be criticised, or the engine refuses the summary prompt.
        """
        critiques = parquet.read_parquet(folder, list(files))
        messages = summary_messages(
            self.prompts.summary, summary.tally(critiques), summary.examples(critiques, self.settings.summary_examples)
        )
        question = ChatRequest(messages, self.settings.max_summary_tokens)
        try:
            text = self._reply(question).text.strip()
        except RequestRefused as error:
            raise UserError(f"the critiques can't be summed up: {error}; lower judge.summary_examples") from None
        if not text:
            raise UserError("the judge's summary of the critiques is empty; look at the prompts in judge.prompts")
        return text

    @property
    def keeps_answers(self) -> bool:
        """Whether there is a cache, so that what was answered once needn't be asked again."""
        return self._cache is not None

    def start(self) -> EngineDeployment:
        """Start the engines if they aren't up; returns when they answer.

        Raises:
            UserError: the cluster has too few CPUs or GPUs, or the model doesn't load.
        """
        with self._lock:  # a thread may start them early
            if self._application is None:
                with self._starting():
                    self._application = EngineDeployment(self.settings, self._image, self._seed, self._engine)
            return self._application

    def stop(self) -> None:
        """Stop the engines and free what they hold; nothing happens if they aren't up."""
        with self._lock:
            if self._application:
                self._application.stop()
                self._application, self._bill = None, {}

    def release(self) -> None:
        """Stop the engines unless judge.keep_warm: what follows may need their GPUs. A hosted judge has none."""
        if not self.settings.keep_warm and not self.settings.hosted.url:
            self.stop()

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _ask(
        self, rows: ray.data.Dataset, asker: JudgeTask, out: str, progress: parquet.Progress | None
    ) -> parquet.Written:
        if not self.settings.hosted.url:  # where every question is paid for
            self._try(asker)
        answered = ask(rows, self._asking(asker), rows_in_flight(self.settings))
        written = parquet.write_parquet(answered, out, asker.schema, progress, rows_per_file=None, tally=(CACHED,))
        return written._replace(facts={**written.facts, **self._paid()})

    def _criticising(self) -> CritiqueTask:
        return CritiqueTask(self.prompts.critique, self.settings.max_reason_tokens)

    def _asking(self, asker: JudgeTask) -> AskContext:
        """What tasks are told, once the engines are up."""
        cache = open_cache(self._cache, self._about(asker), asker.schema) if self._cache else None
        return AskContext(asker, self.start().name, DEPLOYMENT, self._image, self.settings.max_name_chars, cache)

    def _try(self, asker: JudgeTask) -> None:
        """Ask about a grey picture first: what no engine can be asked should not be found out row by row.

        Raises:
            UserError: prompt, feedback and exemplars are too long for the engine.
        """
        side = self._image.resolution
        picture = images.encode_png(np.full((side, side, 3), 127, np.uint8))
        try:
            self._reply(asker.question("product", picture))
        except RequestRefused as why:
            raise UserError(
                f"{why}; shorten the files of judge.prompts, the feedback or the exemplars, or raise "
                f"judge.max_model_len={self.settings.max_model_len}"
            ) from None

    def _reply(self, question: ChatRequest) -> Reply:
        from p2i_ray.judge.batch.retry import reply_with_retry

        return reply_with_retry(self.start().handle(), question)

    def _paid(self) -> dict[str, float]:
        """What an endpoint took since the last time that this was asked: requests, tokens, dollars."""
        if not self.settings.hosted.url:
            return {}
        before, self._bill = self._bill, self.start().handle().facts.remote().result()
        return {name: value - before.get(name, 0) for name, value in self._bill.items()}

    def _about(self, asker: JudgeTask) -> dict[str, Any]:
        """Everything but the sample that an answer depends on: the question about no sample, and who answers it."""
        settings, question = self.settings, asker.question("", b"")
        who: dict[str, Any] = {
            "model": model_folder.fingerprint(settings.model),
            "dtype": settings.dtype,
            "quantization": settings.quantization,
        }
        if settings.hosted.url:
            who = {"model": settings.model, **settings.hosted.model_dump(include={"url", "constraint", "logprobs"})}
        return {
            **who,
            "messages": [_described(message) for message in question.messages],
            "max_tokens": question.max_tokens,
            "choice": question.choice,
            "form": question.form,
        }


def _described(message: dict[str, Any]) -> dict[str, Any]:
    """A message with its pictures' hashes in their places."""
    parts = [
        {**part, "image": hashlib.sha256(part["image"]).hexdigest()} if part["type"] == "image" else part
        for part in message["content"]
    ]
    return {"role": message["role"], "content": parts}
