"""What tests share: one Ray cluster and one small data set a session."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests.support import heavy
from tests.support.judge_together import JudgeTogether, takes_the_judge
from tests.support.variables import PATIENT, variables

if TYPE_CHECKING:
    from chaos.bucket import Bucket
    from p2i_ray.config import DiffusionConfig
    from p2i_ray.judge.judge import Judge
    from tests.support.tiny_xl import XlModels

# Read by libraries at import, here and in every worker.
os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.2")
os.environ["RAY_LOG_MONITOR_MANY_FILES_THRESHOLD"] = "0"  # as jobs have it: less work for two cores
ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "p2i_ray" / "mini" / "weights"
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # workers' too

# Examples are the same in every run; `make test-random` draws new ones. No machine is too slow for either.
PROFILE: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("ci", derandomize=True, database=None, **PROFILE)
hypothesis.settings.register_profile("random", print_blob=True, **PROFILE)
hypothesis.settings.load_profile("ci")

# A shell's background jobs ignore Ctrl-C, and so would the jobs that tests interrupt.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

heavy.note_processes()

# The garbage collector looks at young objects after 700 new ones, and so often at all of the libraries': a tenth of the
# time of tests in this process.
gc.set_threshold(20_000, 20, 50)


def pytest_itemcollected(item: pytest.Item) -> None:
    if heavy.is_heavy(item):
        item.add_marker("heavy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with heavy or long tests first, then those with many: the last are short and keep all cores busy."""
    heavy_files, long_files = (
        {item.path for item in items if item.get_closest_marker(name)} for name in ("heavy", "long")
    )
    judged = {item.path for item in items if "judge" in getattr(item, "fixturenames", ())}
    assert all(map(takes_the_judge, judged)), "a file whose tests take the judge otherwise than as `judge: Judge`"
    tests = Counter(item.path for item in items)

    def turn(item: pytest.Item) -> tuple[bool, bool, bool, int]:
        is_heavy, is_long = item.path in heavy_files, item.path in long_files
        return item.path not in judged, not is_heavy, not is_long, 0 if is_heavy or is_long else -tests[item.path]

    items.sort(key=turn)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> JudgeTogether | None:
    """`--dist loadfile`, with one engine of the judge for all processes."""
    return JudgeTogether(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over the libraries: it would look at their objects again all the time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()  # some libraries complain of what is left at the end


@pytest.fixture(autouse=True)
def _light_or_heavy(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that starts a process and isn't marked for it: light tests run side by side."""
    yield
    if (found := heavy.started()) and not request.node.get_closest_marker("heavy"):
        pytest.fail(f"the test started {', '.join(found)}; mark it @pytest.mark.heavy")


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One local cluster for all tests that need Ray."""
    import ray

    from p2i_ray.cluster import connection
    from p2i_ray.config import RayConfig

    connection.connect(RayConfig(local_cpus=4, object_store_mb=400))
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[Bucket]:
    """moto's S3 server with one bucket, which this process's clients find; set its throttle back after use."""
    from chaos.bucket import Bucket

    with Bucket("bucket-of-tests") as bucket, variables({**bucket.environment, **PATIENT}):
        yield bucket


@pytest.fixture(scope="session")
def gs_bucket() -> Iterator[str]:
    """The URI of a bucket of an emulator of Google's storage, which this process's clients find."""
    from tests.support.gs_server import GsServer

    with GsServer("bucket-of-tests") as server, variables(server.environment):
        yield server.uri


@pytest.fixture(scope="session")
def mini_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small EPBD of the toy world: 120 train, 16 validation, 16 test, 8 test_unseen rows."""
    from p2i_ray.mini.data import make

    folder = tmp_path_factory.mktemp("epbd")
    make(folder, train=120, validation=16, test=16, test_unseen=8)
    return str(folder)


@pytest.fixture(scope="session")
def judge(ray_cluster: None) -> Iterator[Judge]:
    """The mini preset's judge, its engine started once a session; don't stop it."""
    import yaml

    from p2i_ray.config import PRESETS, ImageConfig, JudgeConfig
    from p2i_ray.judge.judge import Judge

    preset = yaml.safe_load((PRESETS / "mini.yaml").read_text("utf-8"))
    places = {"model": str(WEIGHTS / "judge"), "prompts": str(ROOT / "p2i_ray" / "mini" / "prompts")}
    with Judge(JudgeConfig(**{**preset["judge"], **places}), ImageConfig(**preset["image"]), seed=0) as judge:
        yield judge


@pytest.fixture(scope="session")
def tiny_judge(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """A function from a family's name to the folder of a judge without weights; see tests/support/tiny_judges.py."""
    import functools

    from tests.support.tiny_judges import build

    return functools.cache(lambda family: build(family, tmp_path_factory.mktemp(family)))


@pytest.fixture(scope="session")
def tiny_painter(tmp_path_factory: pytest.TempPathFactory) -> DiffusionConfig:
    """Folders of a 9-channel inpainting model and of the CLIP whose text tower it has."""
    from tests.support.tiny_models import build_painter

    folder = tmp_path_factory.mktemp("diffusion")
    build_painter(folder / "base", folder / "clip")
    from p2i_ray.config import DiffusionConfig

    return DiffusionConfig(base=str(folder / "base"), clip=str(folder / "clip"))


@pytest.fixture(scope="session")
def second_painter(tmp_path_factory: pytest.TempPathFactory) -> DiffusionConfig:
    """The same as Stable Diffusion 2 has it."""
    from tests.support.tiny_models import build_painter

    folder = tmp_path_factory.mktemp("second_painter")
    build_painter(folder / "base", folder / "clip", second=True)
    from p2i_ray.config import DiffusionConfig

    return DiffusionConfig(base=str(folder / "base"), clip=str(folder / "clip"))


@pytest.fixture(scope="session")
def xl_models(tmp_path_factory: pytest.TempPathFactory) -> XlModels:
    """A tiny random Stable Diffusion XL and the CLIPs of both text encoders."""
    from tests.support.tiny_xl import XlModels, build_xl

    folder = tmp_path_factory.mktemp("xl_models")
    found = XlModels(folder / "base", (folder / "first", folder / "second"))
    build_xl(found.base, found.clips)
    return found


@pytest.fixture(scope="session")
def plain_painter(tmp_path_factory: pytest.TempPathFactory) -> DiffusionConfig:
    """The same with a 4-channel model, which is to be widened."""
    from tests.support.tiny_models import build_painter

    folder = tmp_path_factory.mktemp("plain_painter")
    build_painter(folder / "base", folder / "clip", channels=4)
    from p2i_ray.config import DiffusionConfig

    return DiffusionConfig(base=str(folder / "base"), clip=str(folder / "clip"), widen=True)
