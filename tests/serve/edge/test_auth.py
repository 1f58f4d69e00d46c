"""Tokens, rate limits, headers, health, metrics; and that neither responses nor logs disclose anything."""

from __future__ import annotations

import io
import json
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from p2i_ray.config.serve import ServeConfig
from p2i_ray.errors import UserError
from p2i_ray.serve.edge.backpressure import NotReady, Overloaded
from p2i_ray.serve.edge.metrics import LOGGER, log_to
from p2i_ray.serve.edge.rate_limit import RateLimiter
from p2i_ray.serve.edge.tokens import Tokens, bearer
from tests.support.generator_parts import OTHER, TOKEN, RunningService, cutout, error_of, open_service
from tests.support.serving import wait_until

GUARDED = [
    ("POST", "/v1/images/edits"),
    ("POST", "/v1/cutouts"),
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs/x"),
    ("GET", "/v1/jobs/x/result"),
    ("DELETE", "/v1/jobs/x"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/x"),
    ("GET", "/metrics"),
]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The service's log."""
    written = io.StringIO()
    handler = log_to(written)
    yield written
    logging.getLogger(LOGGER).removeHandler(handler)


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_every_route_needs_a_token(service: RunningService, method: str, path: str) -> None:
    for header in (
        None,
        "",
        "Bearer",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        "Bearer é",
    ):
        headers = {} if header is None else {"Authorization": header.encode("latin-1")}
        answer = httpx.request(method, service.url + path, headers=headers, verify=False)
        assert error_of(answer, 401)["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"


def test_openai_client_without_a_known_token(service: RunningService) -> None:
    with pytest.raises(openai.AuthenticationError, match="this token is not known"):
        service.client("wrong").images.edit(image=("a.png", cutout()), prompt="Cup")
    assert not service.sampler.requests


def test_a_token_is_revoked_and_added_by_a_line_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# known clients\n{TOKEN}\n\n{OTHER}\n", "utf-8")
    with open_service(str(tmp_path / "jobs"), Tokens(["given"], str(file))) as service:

        def status(token: str) -> int:
            return service.send("GET", "/v1/models", token).status_code

        assert [status(token) for token in (TOKEN, OTHER, "given", "# known clients")] == [200, 200, 200, 401]
        file.write_text(f"{OTHER}\nthird\n", "utf-8")
        assert [status(token) for token in (TOKEN, OTHER, "third", "given")] == [401, 200, 200, 200]
        file.write_text(f"{TOKEN}\nthird\n", "utf-8")  # as long as before, within the clock's tick
        assert [status(token) for token in (TOKEN, OTHER)] == [200, 401]
        file.unlink()
        assert [status(token) for token in (TOKEN, "third", "given")] == [401, 401, 200]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_token_file_as_windows_writes_it(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "tokens"
    file.write_bytes("first-tökén\r\n# known\r\nsecond\r\n".encode(encoding))
    tokens = Tokens([], str(file))
    assert tokens.client("first-tökén") and tokens.client("second") and not tokens.client("\ufefffirst-tökén")
    assert Tokens.from_settings(ServeConfig(), {"P2I_API_TOKEN": "\ufeffa,b"}).client("a")


def test_tokens_from_settings(tmp_path: Path) -> None:
    settings = ServeConfig()
    given = Tokens.from_settings(settings, {"P2I_API_TOKEN": " a , b,,"})
    assert given.made is None and given.client("a") and given.client(b"b")
    assert not given.client("") and not given.client(" a ")
    bytes_given = Tokens.from_settings(settings, {"P2I_API_TOKEN": "t\udcff"})  # as Python reads b"t\xff" there
    assert bytes_given.client(b"t\xff")
    made = Tokens.from_settings(settings, {})
    assert made.made and len(made.made) >= 32 and made.client(made.made)
    there = pickle.dumps(made)  # nosec: what Ray does to send it to a replica
    assert made.made.encode() not in there and pickle.loads(there).client(made.made)
    assert made.made not in repr(vars(given))
    with pytest.raises(UserError, match="write one token a line"):
        Tokens([], str(tmp_path / "nowhere"))
    assert bearer("bearer  x ") == b"x" and bearer(None) is None and bearer("Bearer") is None


def test_the_rate_limiter_by_hand() -> None:
    now = [0.0]
    limiter = RateLimiter(per_minute=60, burst=3, clock=lambda: now[0])
    assert [limiter.take("a", 1) for _ in range(3)] == [0, 0, 0]
    assert limiter.take("a", 2) == 2 and limiter.take("b", 3) == 0
    now[0] = 2
    assert limiter.take("a", 2) == 0 and limiter.take("a", 1) == 1
    now[0] = 1_000
    assert limiter.take("a", 3) == 0 and limiter.take("a", 0.5) == 0.5


def test_a_client_beyond_its_rate_waits_and_others_do_not(tmp_path: Path) -> None:
    with open_service(str(tmp_path), per_minute=20) as service:
        assert service.edit(n=8, seed=1).status_code == 200 and service.edit(n=8).status_code == 200
        answer = service.edit(n=8)
        assert error_of(answer, 429)["code"] == "rate_limit_exceeded"
        assert 10 <= int(answer.headers["retry-after"]) <= 12  # 8 - 4 pictures at one in 3 s
        assert len(service.sampler.requests) == 16
        files = {"image": ("a.png", cutout())}
        other = service.send("POST", "/v1/images/edits", OTHER, files=files, data={"prompt": "Cup", "n": "8"})
        assert other.status_code == 200
        with pytest.raises(openai.RateLimitError):
            service.client().images.edit(image=("a.png", cutout()), prompt="Cup", n=8)


def test_guessing_tokens_is_slowed_down(tmp_path: Path) -> None:
    with open_service(str(tmp_path), per_minute=20) as service:
        statuses = [service.send("GET", "/v1/models", f"guess{k}").status_code for k in range(60)]
        assert statuses[:20] == [401] * 20 and statuses[-1] == 429
        assert service.send("GET", "/v1/models").status_code == 200


def test_a_busy_sampler_and_one_that_is_loading(service: RunningService) -> None:
    service.sampler.fault = Overloaded(2.4)
    answer = service.edit(n=3)
    assert error_of(answer, 429)["message"].endswith("in 3 s") and answer.headers["retry-after"] == "3"
    service.sampler.fault = NotReady()
    answer = service.edit()
    assert error_of(answer, 503)["code"] == "not_ready" and int(answer.headers["retry-after"]) > 0
    with pytest.raises(openai.InternalServerError):
        service.client().images.edit(image=("a.png", cutout()), prompt="Cup")


def test_health(service: RunningService) -> None:
    assert service.send("GET", "/healthz", None).json() == {"status": "live"}
    assert service.send("GET", "/readyz", None).status_code == 200
    assert service.send("HEAD", "/healthz", None).status_code == 200
    service.sampler.loaded = False
    answer = service.send("GET", "/readyz", None)
    assert error_of(answer, 503)["code"] == "not_ready" and int(answer.headers["retry-after"]) > 0
    assert service.send("GET", "/healthz", None).status_code == 200


def test_unknown_addresses_and_methods(service: RunningService) -> None:
    for path in (
        "/v1",
        "/v1/images/generations",
        "/v1/images/edits/",
        "/docs",
        "/openapi.json",
        "/../etc/passwd",
        "/é",
    ):
        error_of(service.send("GET", path), 404)
    answer = service.send("GET", "/v1/images/edits")
    assert error_of(answer, 405)["message"] == "this address takes POST" and answer.headers["allow"] == "POST"
    error_of(service.send("PUT", "/v1/models"), 405)


def test_headers(service: RunningService) -> None:
    for answer in (service.edit(), service.edit(n=0), service.send("GET", "/nowhere"), service.send("GET", "/healthz")):
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store" and answer.headers["referrer-policy"] == "no-referrer"
        assert not any(name.startswith("access-control") for name in answer.headers)
        assert answer.headers["x-request-id"].startswith("req_")
    named = service.send("GET", "/healthz", headers={"X-Request-ID": "mine-1", "Origin": "https://evil.example"})
    assert named.headers["x-request-id"] == "mine-1" and "access-control-allow-origin" not in named.headers
    for bad in ("a b", "x" * 65, '"};alert(1)'):
        assert service.send("GET", "/healthz", headers={"X-Request-ID": bad}).headers["x-request-id"].startswith("req_")


def test_metrics(service: RunningService) -> None:
    assert service.edit(n=2).status_code == 200 and service.edit(n=0).status_code == 400
    # An answer arrives a moment before its request is over.
    wait_until(lambda: "p2i_http_requests_in_flight 1.0" in service.send("GET", "/metrics").text)
    text = service.send("GET", "/metrics").text
    assert 'p2i_http_requests_total{method="POST",route="/v1/images/edits",status="200"}' in text
    assert 'p2i_http_requests_total{method="POST",route="/v1/images/edits",status="400"}' in text
    for stage in ("upload", "decode", "paint", "encode"):
        assert f'p2i_request_stage_duration_seconds_count{{stage="{stage}"}}' in text
    assert 'p2i_generated_images_total{source="request"}' in text
    before = text.count("\n")
    for k in range(20):
        service.send("GET", f"/made-up-{k}")
    assert service.send("GET", "/metrics").text.count("\n") < before + 30  # one series for all that is unknown


class OwnError(Exception):
    """An error with secrets in its text."""


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[RunningService]:
    """A service of one's own, so that its log has only its own requests."""
    with open_service(str(tmp_path / "jobs")) as opened:
        yield opened


def test_internal_errors_disclose_nothing(
    own_service: RunningService, log: io.StringIO, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    service = own_service
    capfd.readouterr()
    for fault in (OwnError(f"{TOKEN} in {tmp_path}"), UserError(f"no model in {tmp_path}"), KeyError("x")):
        service.sampler.fault = fault
        answer = service.edit()
        error = error_of(answer, 500)
        assert (
            error["message"] == f"internal error; the server's log has more on request {answer.headers['x-request-id']}"
        )
        assert error["type"] == "server_error"
    service.sampler.fault = None
    (
        service.edit(image=b"x"),
        service.send("GET", f"/{TOKEN}?token={TOKEN}"),
        service.send("GET", "/v1/models", "wrong-secret"),
    )
    wait_until(lambda: log.getvalue().count('"event": "request"') == 6)  # written when the answer is sent already
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    failures = [line for line in lines if line["event"] == "failure"]
    assert [line["error"] for line in failures] == ["OwnError", "UserError", "KeyError"]
    assert all(line["at"] and line["request_id"].startswith("req_") for line in failures)
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["status"] for line in requests] == [500, 500, 500, 400, 404, 401]
    assert requests[0]["route"] == "/v1/images/edits" and requests[4]["route"] == "unknown"
    assert {"time", "level", "request_id", "seconds", "client", "received", "method"} <= set(requests[0])
    printed = capfd.readouterr()
    for text in (log.getvalue(), printed.out, printed.err):
        for secret in (TOKEN, "wrong-secret", str(tmp_path), "Traceback", "site-packages", 'File "'):
            assert secret not in text, text
