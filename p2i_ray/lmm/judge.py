"""THE JUDGE: the LMM that scores (R), criticises (F) and sums up (SUM) in Algorithm 1.

Its engines are started once and stay warm over the datasets that they are asked about, because a start costs more
than a thousand rows. They are a Ray Serve application without an HTTP port; ray.data.llm brings the rows.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from p2i_ray import cluster, sink
from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.errors import UserError
from p2i_ray.lmm import model_folder, summary
from p2i_ray.lmm.asking import BLOCK, GROUP, ask
from p2i_ray.lmm.engine import Engine, engine_environment, pack, unpack
from p2i_ray.lmm.prompts import Exemplar, load_prompts, summary_messages
from p2i_ray.lmm.questions import Asker, Criticising, Question, Scoring

if TYPE_CHECKING:
    import ray.data
    from ray.actor import ActorHandle

DEPLOYMENT = "Engine"
CONTROLLER = {"RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5"}  # its default, 0.1, keeps a tenth of a core busy
SPARE_CPUS = 0.5  # for the tasks and actors that bring the rows


class Judge:
    """R, F and SUM on vLLM engines. A context manager: leaving it stops the engines.

    Args:
        settings: the judge's.
        image: limits and size of pictures.
        seed: handed to the engines.

    Raises:
        UserError: a prompt file is wrong, or the model can't be a judge.
    """

    def __init__(self, settings: JudgeConfig, image: ImageConfig, seed: int = 0) -> None:
        self.settings = settings.model_copy(update={"model": model_folder.check(settings.model)})
        self.prompts = load_prompts(settings.prompts)
        self._image = image
        self._seed = seed
        self._application: str | None = None
        self._owner: ActorHandle | None = None
        self._serving = False

    def score(
        self,
        rows: ray.data.Dataset,
        out: str,
        feedback: str = "",
        progress: sink.Progress | None = None,
        exemplars: Sequence[Exemplar] = (),
    ) -> sink.Written:
        """R(x, p_R, c_R, f) for every row: Parquet files with the columns of questions.SCORES.

        Args:
            rows: columns id, name, image.
            out: folder, a path or URI.
            feedback: f of the round before; empty in the first.
            progress: told the number of rows just written.
            exemplars: c_R.
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
        self.start()
        from ray import serve

        handle = serve.get_deployment_handle(DEPLOYMENT, self._application).options(stream=True)
        question = Question(messages, self.settings.max_summary_tokens)
        (packed,) = next(iter(handle.ask.remote({"questions": [pack(question)]})))["replies"]
        reply, error = unpack(packed)
        if reply is None:
            raise UserError(f"the critiques can't be summed up: {error}; lower judge.summary_examples")
        if not reply.text.strip():
            raise UserError("the judge's summary of the critiques is empty; look at the prompts in judge.prompts")
        return reply.text.strip()

    def start(self) -> None:
        """Start the engines if they aren't up; returns when they answer.

        Raises:
            UserError: the cluster has too few CPUs or GPUs, or the model doesn't load.
        """
        if self._application:
            return
        from ray import serve

        settings = self.settings
        needed = _resources(settings)
        cpus = settings.replicas * needed["num_cpus"] + SPARE_CPUS
        cluster.require("judge", CPU=cpus, GPU=settings.replicas * needed["num_gpus"])
        logging.getLogger("ray.serve").setLevel(logging.WARNING)  # Serve's import has set its own
        if not self._serving:
            serve.start(proxy_location="Disabled", controller_options={"runtime_env": {"env_vars": CONTROLLER}})
            self._serving = True
        application = f"judge-{uuid.uuid4().hex[:8]}"
        owner = _owner()
        deployment = serve.deployment(Engine).options(
            name=DEPLOYMENT,
            num_replicas=settings.replicas,
            ray_actor_options={**needed, "runtime_env": _runtime_environment(settings)},
            max_ongoing_requests=max(2, 2 * settings.in_flight // GROUP),
            health_check_period_s=5,
            max_constructor_retry_count=1,
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        try:
            engine = deployment.bind(settings, self._image, self._seed, application, owner)
            serve.run(engine, name=application, route_prefix=None)
        except RuntimeError as error:
            why = _why(application) or str(error)
            serve.delete(application)
            raise UserError(f"the judge {settings.model} doesn't start: {why}") from error
        self._application, self._owner = application, owner

    def stop(self) -> None:
        """Stop the engines and free what they hold; nothing happens if they aren't up."""
        if not self._application:
            return
        from ray import serve

        serve.delete(self._application)
        self._application = self._owner = None

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
        self.start()
        assert self._application
        settings = self.settings
        answered = ask(
            rows, asker, self._application, DEPLOYMENT, settings.replicas, self._image, settings.max_name_chars
        )
        return sink.write_parquet(answered, out, asker.schema, progress, rows_per_file=BLOCK)


def _resources(settings: JudgeConfig) -> dict[str, float]:
    """What one engine reserves; tensor parallelism takes whole GPUs of one node."""
    whole = settings.num_gpus and settings.tensor_parallel_size > 1
    gpus = settings.tensor_parallel_size if whole else settings.num_gpus
    return {"num_cpus": settings.num_cpus, "num_gpus": gpus}


def _runtime_environment(settings: JudgeConfig) -> dict[str, Any]:
    """The driver's runtime environment, which replicas don't inherit, with the engine's variables on top."""
    import ray

    environment = dict(ray.get_runtime_context().runtime_env)
    environment["env_vars"] = {**environment.get("env_vars", {}), **engine_environment(settings)}
    return environment


def _owner() -> ActorHandle:
    """An actor that Ray ends with this driver, however the driver ends."""
    import ray

    return ray.remote(_Owner).options(num_cpus=0).remote()


class _Owner:
    async def until_gone(self) -> None:
        """Returns never."""
        import asyncio

        await asyncio.Event().wait()


def _why(application: str) -> str:
    """The last line of what Serve knows about an application that failed to start: its replica's exception."""
    from ray import serve

    found = serve.status().applications.get(application)
    message = found.deployments[DEPLOYMENT].message if found and DEPLOYMENT in found.deployments else ""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else ""
