"""The files for KubeRay: said once, agreeing with the project, and readable for Ray's own autoscaler."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from p2i_ray.config import Config, describe, load
from p2i_ray.config.serve import ServeJobConfig
from tests.support.ray_autoscaler import check, from_raycluster

ROOT = Path(__file__).parents[2]
KUBERAY = ROOT / "cluster" / "kuberay"
FILES = sorted(KUBERAY.rglob("*.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text("utf-8")) if one]


def one(name: str) -> dict[str, Any]:
    (found,) = documents(KUBERAY / name)
    return found


def scalars(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in [str(key), *scalars(item)]]
    if isinstance(value, list):
        return [text for item in value for text in scalars(item)]
    return [str(value)]


def everything() -> list[str]:
    return [text for path in FILES for document in documents(path) for text in scalars(document)]


def site() -> dict[str, str]:
    return dict(text.split("=", 1) for text in one("site/kustomization.yaml")["configMapGenerator"][0]["literals"])


def built_on(folder: str) -> dict[str, dict[str, Any]]:
    """The kustomizations of a folder below kuberay/ and of all that it builds on."""
    found = {folder: one(f"{folder}/kustomization.yaml")}
    for resource in found[folder].get("resources", []):
        if resource.startswith("../"):
            found |= built_on(resource.removeprefix("../"))
    return found


def test_image_bucket_and_kind_of_gpu_are_written_once() -> None:
    values = site()
    assert set(values) == {"image", "bucket", "gpu"}
    for said in values.values():
        assert sum(said in text for text in everything()) == 1, said


@pytest.mark.parametrize(
    "folder", ["base", "job", "weekly", "service", "service-incremental", "weights", "weights-hub"]
)
def test_deleting_a_folder_leaves_what_others_need(folder: str) -> None:
    """`kubectl delete -k` deletes all that a folder has: none but setup has the namespace, accounts and rules."""
    shared = {"Namespace", "ServiceAccount", "NetworkPolicy", "Secret", "PersistentVolumeClaim", "ConfigMap"}
    for name, kustomization in built_on(folder).items():
        files = [text for text in kustomization.get("resources", []) if not text.startswith("../")]
        kinds = {document["kind"] for file in files for document in documents(KUBERAY / name / file)}
        assert not kinds & shared, name


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl")
@pytest.mark.parametrize(
    ("folder", "kinds"),
    [
        ("setup", ["Namespace", "NetworkPolicy", "ServiceAccount", "ServiceAccount", "ServiceAccount"]),
        ("base", ["RayCluster"]),
        ("job", ["RayJob"]),
        ("weekly", ["RayCronJob"]),
        ("service", ["RayService"]),
        ("service-incremental", ["RayService"]),
        ("weights", ["Job"]),
        ("weights-hub", ["Job"]),
    ],
)
def test_what_is_applied_is_whole_and_no_more_than_it_says(folder: str, kinds: list[str]) -> None:
    out = subprocess.run(["kubectl", "kustomize", KUBERAY / folder], check=True, capture_output=True, text=True).stdout
    rendered = [document for document in yaml.safe_load_all(out) if document]
    assert sorted(document["kind"] for document in rendered) == kinds
    assert "said-in" not in out
    images = {value for document in rendered for name, value in _named(document) if name == "image"}
    assert images == (set() if folder == "setup" else {site()["image"]})


def test_everything_lies_in_the_namespace_of_the_setup() -> None:
    namespace = one("setup/namespace.yaml")["metadata"]["name"]
    for path in KUBERAY.rglob("kustomization.yaml"):
        if path.parent.name != "site":
            assert documents(path)[0]["namespace"] == namespace, path
    accounts = {document["metadata"]["name"] for document in documents(KUBERAY / "setup" / "access.yaml")}
    assert {text for name, text in strings(FILES) if name == "serviceAccountName"} == accounts


def strings(paths: list[Path]) -> list[tuple[str, str]]:
    return [found for path in paths for document in documents(path) for found in _named(document)]


def _named(value: Any) -> list[tuple[str, str]]:
    if isinstance(value, list):
        return [found for item in value for found in _named(item)]
    if not isinstance(value, dict):
        return []
    here = [(key, item) for key, item in value.items() if isinstance(item, str)]
    return here + [found for item in value.values() for found in _named(item)]


def test_pods_reach_names_and_the_role_of_each_cloud() -> None:
    from ipaddress import ip_address, ip_network

    egress = one("setup/network.yaml")["spec"]["egress"]

    def allowed(address: str, port: int, protocol: str = "TCP") -> bool:
        for rule in egress:
            blocks = [peer["ipBlock"] for peer in rule.get("to", []) if "ipBlock" in peer]
            inside = "to" not in rule or any(
                ip_address(address) in ip_network(block["cidr"])
                and not any(ip_address(address) in ip_network(but) for but in block.get("except", []))
                for block in blocks
            )
            if inside and {"port": port, "protocol": protocol} in rule.get("ports", []):
                return True
        return False

    for resolver in ("169.254.20.10", "169.254.169.254", "10.96.0.10"):  # NodeLocal DNSCache, Cloud DNS, a service's
        assert allowed(resolver, 53, "UDP") and allowed(resolver, 53)
    assert allowed("169.254.170.23", 80)  # EKS Pod Identity
    assert allowed("169.254.169.252", 988) and allowed("169.254.169.254", 80)  # GKE
    assert allowed("52.216.0.1", 443)
    assert not allowed("52.216.0.1", 80) and not allowed("169.254.170.2", 80) and not allowed("169.254.169.254", 443)


def test_ray_is_the_pinned_one_and_the_image_the_projects_version() -> None:
    pin = re.search(r"^ray==(.+)$", (ROOT / "requirements" / "base.txt").read_text("utf-8"), re.M)
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)
    assert pin and version
    assert one("base/raycluster.yaml")["spec"]["rayVersion"] == pin[1]
    tag = f"{version[1]}-cuda"
    assert site()["image"].endswith(f":{tag}")
    for cloud in ("aws", "gcp"):
        (document,) = documents(ROOT / "cluster" / f"{cloud}.yaml")
        assert document["docker"]["image"].endswith(f":{tag}")
    # The image has no Ray of its own: the set-up installs the pins.
    docker = (ROOT / "cluster" / "Dockerfile").read_text("utf-8")
    assert "tools/setup.sh python3.11 /opt/venv cpu" in docker
    assert "tools/setup.sh python3.11 /opt/venv cuda" in docker
    assert not re.search(r"ray==|rayproject/", docker)


def test_rays_autoscaler_reads_workers_from_zero() -> None:
    cluster = one("base/raycluster.yaml")
    assert cluster["spec"]["autoscalerOptions"]["version"] == "v2"
    cluster["metadata"]["namespace"] = "p2i-ray"
    config = from_raycluster(cluster)
    check(config)
    kinds = config["available_node_types"]
    assert kinds["headgroup"]["resources"]["CPU"] == 4
    assert not kinds["headgroup"]["resources"].get("GPU")
    worker = kinds["a100"]
    assert (worker["min_workers"], worker["max_workers"]) == (0, 1)
    preset = load(Config, "a100x4")
    assert worker["resources"]["GPU"] == preset.train.num_workers * preset.train.num_gpus == 4
    assert worker["resources"]["CPU"] >= preset.judge.replicas * preset.judge.num_cpus
    assert worker["resources"]["accelerator_type:A100"] == 1


def test_memory_is_larger_than_the_object_store_and_its_shm() -> None:
    spec = one("base/raycluster.yaml")["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        store = int(group["rayStartParams"]["object-store-memory"])
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        shm = next(v["emptyDir"]["sizeLimit"] for v in pod["volumes"] if v["name"] == "shm")
        memory = container["resources"]["requests"]["memory"]
        assert store < gib(shm) < gib(memory) / 2
        assert container["resources"]["requests"] == container["resources"]["limits"]


def gib(quantity: str) -> int:
    assert quantity.endswith("Gi")
    return int(quantity.removesuffix("Gi")) << 30


def test_no_container_runs_as_root_or_can_become_root() -> None:
    spec = one("base/raycluster.yaml")["spec"]
    pods = [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    pods.append(one("job/rayjob.yaml")["spec"]["submitterPodTemplate"]["spec"])
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["restartPolicy"] == "Never"
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def entrypoints() -> dict[str, str]:
    (patch,) = one("weekly/kustomization.yaml")["patches"]
    weekly = yaml.safe_load(patch["patch"])["spec"]["entrypoint"]
    return {"job": one("job/rayjob.yaml")["spec"]["entrypoint"], "weekly": weekly}


@pytest.mark.parametrize("name", ["job", "weekly"])
def test_the_runs_command_is_one_that_the_job_takes(name: str) -> None:
    spec = one("job/rayjob.yaml")["spec"]
    filled = entrypoints()[name].replace("${P2I_BUCKET}", "s3://bucket").replace("${RAY_JOB_SUBMISSION_ID}", "idr-1")
    command = shlex.split(filled.replace("$(date +%G-week-%V)", "2026-week-48"))
    assert "$" not in "".join(command)
    assert command[:3] == ["python", "cluster/run_once.py", "idr-1"]
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert f"!{command[1]}" in ignored and (ROOT / command[1]).is_file()
    command = command[3:]
    assert command[:3] == ["python", "jobs/idr.py", "--config"]
    assert (ROOT / command[1]).is_file()
    own = {"run_dir", "data"}
    settings = command[4:]
    config = load(Config, command[3], [setting for setting in settings if setting.split("=")[0] not in own])
    assert config.train.num_workers == 4
    assert config.evaluate.num_gpus == 1
    assert {setting.split("=")[0] for setting in settings} >= own
    # It is used as the shell of the submitting pod fills it, so that pod must know it.
    (container,) = spec["submitterPodTemplate"]["spec"]["containers"]
    assert [variable["name"] for variable in container["env"]] == ["P2I_BUCKET"]
    assert spec["shutdownAfterJobFinishes"] and spec["backoffLimit"] > 0


def test_a_weeks_run_and_its_retries_end_before_the_next_and_lie_in_one_week() -> None:
    minute, hour, day, month, weekday = one("weekly/raycronjob.yaml")["spec"]["schedule"].split()
    assert (minute, hour, day, month, weekday) == ("0", "3", "*", "*", "1")  # %V's week begins on a Monday
    assert 3 * 3600 + one("job/rayjob.yaml")["spec"]["activeDeadlineSeconds"] < 6 * 86400


def test_copying_weights_is_not_tried_again_after_a_users_mistake() -> None:
    spec = one("weights/job.yaml")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # Kubernetes asks for it
    assert rule == {
        "action": "FailJob",
        "onExitCodes": {"containerName": container["name"], "operator": "In", "values": [2]},
    }


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl")
def test_weights_from_the_hub_are_fetched_by_the_job_that_people_run() -> None:
    folder = KUBERAY / "weights-hub"
    out = subprocess.run(["kubectl", "kustomize", folder], check=True, capture_output=True, text=True).stdout
    (job,) = yaml.safe_load_all(out)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    python, script, option, preset = container["args"]
    assert (python, option) == ("python", "--config") and (ROOT / script).exists()
    assert job["metadata"]["name"] == "weights-hub" and "podFailurePolicy" not in job["spec"]
    assert {"name": "HF_HUB_OFFLINE", "value": "0"} in container["env"]
    (mount,) = container["volumeMounts"]
    for model in (load(Config, preset).judge.model, load(Config, preset).diffusion.base):
        assert f"/opt/p2i_ray/{model}".startswith(f"{mount['mountPath']}/")


def test_the_services_application_is_there_and_takes_its_settings() -> None:
    from ray.serve.schema import ServeDeploySchema

    spec = one("service/rayservice.yaml")["spec"]
    serve = ServeDeploySchema.model_validate(yaml.safe_load(spec["serveConfigV2"]))
    (application,) = serve.applications
    module, _, name = application.import_path.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    args = dict(application.args)
    settings = [f"serve.{key}={value}" for key, value in flat(args.pop("serve"))]
    config = load(ServeJobConfig, args.pop("config"), settings)
    assert not args
    assert config.serve.model == "models/product2img"
    assert {key.split("=")[0] for key in settings} <= {key for key, _, _ in describe(ServeJobConfig)}
    # A pod that goes outlives the longest answer, and the old cluster as well.
    patches = yaml.safe_load(one("service/kustomization.yaml")["patches"][1]["patch"])
    asked = {patch["path"].rsplit("/", 1)[1]: patch["value"] for patch in patches}
    pause = int(asked["lifecycle"]["preStop"]["exec"]["command"][1])
    assert config.serve.limits.answer_s <= pause < asked["terminationGracePeriodSeconds"]
    assert spec["rayClusterDeletionDelaySeconds"] >= config.serve.limits.answer_s


def flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        found += flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return found


@pytest.mark.parametrize("path", [*FILES, *sorted((ROOT / "cluster").glob("*.*"))], ids=lambda path: path.name)
def test_no_file_holds_a_secret(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"AKIA[0-9A-Z]{16}|-----BEGIN|AIza[\w-]{35}|sk-[\w-]{20}|hf_\w{20}", text)
    assert not re.search(
        r"(?i)(auth_token|api_token|api_key|password|secret_access_key)\s*[=:]\s*['\"]?[0-9a-f]{16}", text
    )
    for document in documents(path) if path.suffix == ".yaml" else ():
        assert document.get("kind") != "Secret"
        for variable in variables(document):
            if re.search(r"TOKEN|KEY|SECRET|PASSWORD", variable["name"]):
                assert set(variable) == {"name", "valueFrom"}, variable["name"]
                assert set(variable["valueFrom"]) == {"secretKeyRef"}


def variables(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for item in value for found in variables(item)]
    if not isinstance(value, dict):
        return []
    here = value["env"] if isinstance(value.get("env"), list) else []
    return here + [found for item in value.values() for found in variables(item)]
