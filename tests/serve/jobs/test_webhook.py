"""Webhooks of jobs, to a real server on loopback: signed, sent until they are accepted, over restarts."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from p2i_ray.config.serve import WebhooksConfig
from p2i_ray.errors import UserError
from p2i_ray.serve.edge.metrics import HTTPMetrics
from p2i_ray.serve.images.schema import EditRequest
from p2i_ray.serve.jobs import progress
from p2i_ray.serve.jobs.schema import Delivery, JobItem, new_job
from p2i_ray.serve.jobs.store import JobStore
from p2i_ray.serve.jobs.webhook import Webhooks
from tests.support.generator_parts import RunningService, open_service
from tests.support.orders import order, result, state
from tests.support.serving import wait_until
from tests.support.webhook_receiver import SECRET, Receiver, receiver


@contextmanager
def service_for(folder: Path, target: Receiver, **settings: Any) -> Iterator[RunningService]:
    """A service that may call a receiver."""
    webhooks = {"allowed": [f"{target.url}/"], "retry_s": 0.01, "tries": 3, **settings}
    environment = {"P2I_WEBHOOK_SECRET": SECRET}
    with open_service(str(folder), settings={"webhooks": webhooks}, environment=environment) as service:
        yield service


def settled(service: RunningService, job: dict[str, Any]) -> dict[str, Any]:
    """What is told of a job's webhook, once it is accepted or given up."""
    wait_until(lambda: state(service, job)["webhook"]["status"] != "pending")
    return dict(state(service, job)["webhook"])


def test_a_finished_job_is_told_once_and_signed(tmp_path: Path) -> None:
    with receiver() as target, service_for(tmp_path, target) as service:
        job = order(service, webhook=f"{target.url}/orders?shop=1")
        assert job["webhook"] == {"url": f"{target.url}/orders?shop=1", "status": "pending", "tries": 0, "error": None}
        result(service, job)
        assert settled(service, job) == {**job["webhook"], "status": "delivered", "tries": 1}
        [message] = target.messages
        assert message["genuine"] and message["type"] == "job.completed"
        assert message["host"] == target.url.removeprefix("http://")
        now = state(service, job)
        assert message["data"] == {name: value for name, value in now.items() if name != "webhook"}
        service.sampler.held = True
        held = order(service, webhook=f"{target.url}/cancelled")
        service.send("DELETE", f"/v1/jobs/{held['id']}")
        assert settled(service, held)["status"] == "delivered"
        [told] = [message for message in target.messages if message["data"]["id"] == held["id"]]
        assert told["type"] == "job.cancelled" and told["data"]["status"] == "cancelled"


def test_it_is_sent_until_it_is_accepted(tmp_path: Path) -> None:
    with receiver() as target, service_for(tmp_path, target) as service:
        target.answers = [500, 429, 204]
        job = order(service, webhook=f"{target.url}/")
        assert settled(service, job)["tries"] == 3
        assert len({message["id"] for message in target.messages}) == 1 and len(target.messages) == 3
        assert all(message["genuine"] for message in target.messages)


@pytest.mark.parametrize(
    ("answer", "most", "tries"),
    [(503, 3, 3), (302, 2, 2), (307, 2, 2), (410, 3, 1)],  # redirects are not followed; 410 is final
)
def test_it_is_given_up_after_so_many_tries(tmp_path: Path, answer: int, most: int, tries: int) -> None:
    with receiver() as target, service_for(tmp_path, target, tries=most) as service:
        target.answers = [answer]
        found = settled(service, order(service, webhook=f"{target.url}/"))
        assert (found["status"], found["tries"], found["error"]) == ("failed", tries, str(answer))
        assert len(target.messages) == tries


def test_a_slow_receiver_is_not_waited_for(tmp_path: Path) -> None:
    with receiver() as target, service_for(tmp_path, target, timeout_s=0.2, tries=1) as service:
        target.wait_s = 1.0
        found = settled(service, order(service, webhook=f"{target.url}/"))
        assert found["error"] == "no answer within 0.2 s"


def test_a_restart_still_delivers(tmp_path: Path) -> None:
    with receiver() as target:
        target.answers = [500]
        with service_for(tmp_path, target, tries=20) as service:
            job = order(service, webhook=f"{target.url}/")
            wait_until(lambda: len(target.messages) >= 1)
        before = len(target.messages)
        target.answers = [200]
        with service_for(tmp_path, target, tries=20) as service:
            assert settled(service, job)["status"] == "delivered"
        assert len(target.messages) == before + 1 and target.messages[-1]["genuine"]
        with service_for(tmp_path, target) as service:
            other = order(service, webhook=f"{target.url}/other")
            settled(service, other)
        assert len(target.messages) == before + 2  # what was accepted isn't sent again


@pytest.mark.parametrize("answer", [204, 503])
def test_an_order_sent_anew_while_the_deleted_one_is_told_is_told_too(tmp_path: Path, answer: int) -> None:
    with receiver() as target, service_for(tmp_path, target, retry_s=60) as service:
        target.wait_s, target.answers = 1.0, [answer, 204]
        first = order(service, key="spring", webhook=f"{target.url}/")
        wait_until(lambda: len(target.messages) == 1)  # the receiver works on it, and has not answered yet
        assert service.send("DELETE", f"/v1/jobs/{first['id']}").json()["status"] == "deleted"
        again = order(service, key="spring", webhook=f"{target.url}/")
        assert again["id"] == first["id"]
        found = settled(service, again)
        assert (found["status"], found["tries"]) == ("delivered", 1) and len(target.messages) == 2
        assert len({message["id"] for message in target.messages}) == 2


def test_a_job_that_is_deleted_before_its_turn_is_not_told(tmp_path: Path) -> None:
    store = JobStore(str(tmp_path / "jobs"))
    with receiver() as target:
        settings = WebhooksConfig(allowed=(f"{target.url}/",), tries=1)
        webhooks = Webhooks(
            store,
            settings,
            secrets=[bytes(32)],
            state=lambda one: progress.state(one, store, workers=1),
            metrics=HTTPMetrics(),
        )
        job = new_job(b"client", [JobItem(index=0, ask=EditRequest(prompt="Cup"), image=0)], webhook=f"{target.url}/")
        store.add(job, [])
        store.finish(job)
        [(_, delivery)] = store.undelivered()
        store.remove(job)
        asyncio.run(webhooks._deliver(job, delivery))
        assert not target.messages  # it would have said that the job is queued


def test_an_address_that_is_not_allowed_any_more_is_not_called(tmp_path: Path) -> None:
    with receiver() as target:
        target.answers = [500]
        with service_for(tmp_path, target, retry_s=1) as service:
            job = order(service, webhook=f"{target.url}/")
            wait_until(lambda: len(target.messages) == 1)
        with open_service(str(tmp_path)) as service:
            found = settled(service, job)
            assert found["status"] == "failed" and "any more" in found["error"] and len(target.messages) == 1


def test_refused_at_submission_and_at_start(service: RunningService, tmp_path: Path) -> None:
    error = order(service, webhook="https://hooks.shop.example/", status=400)
    assert error["code"] == "webhook_refused" and "serve.webhooks.allowed" in error["message"]
    for settings, message in (
        ({"allowed": ["hooks.shop.example"]}, "P2I_WEBHOOK_SECRET"),
        ({"allowed": ["x y"]}, "x y"),
    ):
        environment = {"P2I_WEBHOOK_SECRET": SECRET} if message == "x y" else {}
        service = open_service(str(tmp_path), settings={"webhooks": settings}, environment=environment)
        with pytest.raises(UserError, match=message), service:
            raise AssertionError("it must not start")


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS of a server whose certificate names localhost and no address, and that of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(private + pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return server, ssl.create_default_context(cadata=pem.decode("ascii"))


def tried_once(folder: Path, url: str, tls: ssl.SSLContext | None = None) -> Delivery:
    """What comes of one try to tell a URL of a cancelled job."""
    store = JobStore(str(folder))
    job = new_job(b"client", [JobItem(index=0, ask=EditRequest(prompt="Cup"), image=0)], webhook=url)
    store.add(job, [])
    store.cancel(job)
    store.finish(job)
    settings = WebhooksConfig(allowed=(url,), tries=1)
    told = {"id": job.id, "status": "cancelled", "created": 0, "elapsed_s": 0.0}
    metrics = HTTPMetrics()
    webhooks = Webhooks(store, settings, secrets=[bytes(32)], state=lambda _: told, metrics=metrics, tls=tls)

    async def go() -> None:
        await webhooks.step()
        await asyncio.gather(*webhooks._sending.values())

    asyncio.run(go())
    found = store.delivery(job)
    assert found is not None
    return found


def test_the_certificate_must_be_the_names_though_the_address_is_called(tmp_path: Path) -> None:
    server, trusting = certificate(tmp_path)
    with receiver(server) as target:
        assert tried_once(tmp_path / "jobs", f"{target.url}/", trusting).status == "delivered"
        assert target.messages[0]["host"] == target.url.removeprefix("https://")
        by_address = target.url.replace("localhost", "127.0.0.1")
        for url, tls in ((f"{by_address}/", trusting), (f"{target.url}/", None)):
            found = tried_once(tmp_path / "jobs", url, tls)
            assert (found.status, found.error) == ("failed", "its certificate is not trusted, or not its host's")
        assert len(target.messages) == 1


def test_what_can_not_be_reached_says_why(tmp_path: Path) -> None:
    with receiver() as target:
        plain = target.url.replace("http://", "https://")
        assert tried_once(tmp_path, f"{plain}/").error == "it takes no TLS connection"
    assert tried_once(tmp_path, f"{target.url}/").error == "it can't be reached"
    assert tried_once(tmp_path, "https://shop.invalid/").error == "its host's name is not known"


def test_every_address_of_a_host_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "localhost":
            return own(host, *args, **kwargs)
        return [address for one in ("127.0.0.2", "127.0.0.1") for address in own(one, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with receiver() as target:  # it listens at the second address alone, as many do of ::1 and 127.0.0.1
        assert tried_once(tmp_path, f"{target.url.replace('127.0.0.1', 'localhost')}/").status == "delivered"
        assert len(target.messages) == 1
