"""THE JUDGE: the LMM that scores (R), criticises (F) and sums up (SUM) in Algorithm 1.

Its engines are started once and stay warm over the datasets that they are asked about, because a start costs more
than a thousand rows. They are a Ray Serve application without an HTTP port; Ray Data's tasks bring the rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from p2i_ray import sink
from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.errors import UserError
from p2i_ray.lmm import model_folder, summary
from p2i_ray.lmm.answering import Refused
from p2i_ray.lmm.application import DEPLOYMENT, Application, rows_in_flight
from p2i_ray.lmm.asking import BLOCK, CACHED, Asking, ask
from p2i_ray.lmm.cache import open_cache
from p2i_ray.lmm.engine import Engine
from p2i_ray.lmm.prompts import Exemplar, load_prompts, summary_messages
from p2i_ray.lmm.questions import Asker, Criticising, Question, Scoring

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
    ) -> None:
        self.settings = settings.model_copy(update={"model": model_folder.check(settings.model)})
        self.prompts = load_prompts(settings.prompts)
        self._image = image
        self._seed = seed
        self._cache = settings.cache or cache
        self._engine = engine or Engine
        self._application: Application | None = None

    def score(
        self,
        rows: ray.data.Dataset,
        out: str,
        feedback: str = "",
        progress: sink.Progress | None = None,
        exemplars: Sequence[Exemplar] = (),
        gamma: float = 4,
    ) -> sink.Written:
        """R(x, p_R, c_R, f) for every row: Parquet files with the columns of questions.SCORES.

        Args:
            rows: columns id, name, image.
            out: folder, a path or URI.
            feedback: f of the round before; empty in the first.
            progress: told the number of rows just written.
            exemplars: c_R.
            gamma: lowest score that will be kept: what a cascade has to agree on; else it changes nothing.
        """
        reason = self.settings.max_reason_tokens if self.settings.reasoned else None
        return self._ask(rows, Scoring(self.prompts.score, feedback, tuple(exemplars), reason), out, progress)

    def critique(self, rows: ray.data.Dataset, out: str, progress: sink.Progress | None = None) -> sink.Written:
        """F(x_dev, I_dev, p_F) for every row: Parquet files with the columns of questions.CRITIQUES."""
        return self._ask(rows, Criticising(self.prompts.critique, self.settings.max_reason_tokens), out, progress)

    def summarise(self, folder: str, files: Sequence[str]) -> str:
        """SUM(…, p_S): one feedback text from the critiques of a round.

        Raises:
            UserError: no picture could be criticised, or the engine refuses the summary prompt.
        """
        critiques = sink.read_parquet(folder, list(files))
        messages = summary_messages(
            self.prompts.summary, summary.tally(critiques), summary.examples(critiques, self.settings.summary_examples)
        )
        question = Question(messages, self.settings.max_summary_tokens)
        try:
            text = self.start().handle().reply.remote(question).result().text.strip()
        except Refused as error:
            raise UserError(f"the critiques can't be summed up: {error}; lower judge.summary_examples") from None
        if not text:
            raise UserError("the judge's summary of the critiques is empty; look at the prompts in judge.prompts")
        return text

    def start(self) -> Application:
        """Start the engines if they aren't up; returns when they answer.

        Raises:
            UserError: the cluster has too few CPUs or GPUs, or the model doesn't load.
        """
        if self._application is None:
            self._application = Application(self.settings, self._image, self._seed, self._engine)
        return self._application

    def stop(self) -> None:
        """Stop the engines and free what they hold; nothing happens if they aren't up."""
        if self._application:
            self._application.stop()
            self._application = None

    def release(self) -> None:
        """Stop the engines unless judge.keep_warm: what follows may need their GPUs."""
        if not self.settings.keep_warm:
            self.stop()

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _ask(self, rows: ray.data.Dataset, asker: Asker, out: str, progress: sink.Progress | None) -> sink.Written:
        cache = open_cache(self._cache, self._about(asker), asker.schema) if self._cache else None
        asking = Asking(asker, self.start().name, DEPLOYMENT, self._image, self.settings.max_name_chars, cache)
        answered = ask(rows, asking, rows_in_flight(self.settings))
        return sink.write_parquet(answered, out, asker.schema, progress, rows_per_file=BLOCK, tally=(CACHED,))

    def _about(self, asker: Asker) -> dict[str, Any]:
        """Everything but the sample that an answer depends on: the question about no sample, and who answers it."""
        question = asker.question("", b"")
        settings = self.settings
        return {
            "model": model_folder.fingerprint(settings.model),
            "dtype": settings.dtype,
            "quantization": settings.quantization,
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
