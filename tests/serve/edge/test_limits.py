"""Bodies too large, too slow or cut off, late answers, clients that hang up, many at once: over bare sockets."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from p2i_ray.serve.edge.backpressure import Overloaded, TooMuchWork
from tests.support.generator_parts import TOKEN, RunningService, cutout, encoded, error_of, open_service, shown
from tests.support.serving import wait_until

LIMIT = 300_000
BODY = (
    b'--XX\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nCup\r\n'
    b'--XX\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + cutout() + b"\r\n--XX--\r\n"
)
ERROR_ENDS = b"}}"  # {"error": {…}}


@pytest.fixture(scope="module")
def narrow_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    limits = {"max_bytes": LIMIT, "upload_s": 1, "answer_s": 2, "max_job_bytes": LIMIT, "queue": 6}
    with open_service(str(tmp_path_factory.mktemp("jobs")), **limits) as opened:
        yield opened


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[RunningService]:
    """A service with six requests in flight at most, and no time limit that a test reaches."""
    with open_service(str(tmp_path), answer_s=300, queue=6) as opened:
        yield opened


@pytest.fixture
def narrow(narrow_service: RunningService) -> Iterator[RunningService]:
    """A service with tight limits of size and time."""
    narrow_service.sampler.requests.clear()
    narrow_service.sampler.cancelled = narrow_service.sampler.most = 0
    yield narrow_service
    narrow_service.sampler.held = False
    wait_until(lambda: not narrow_service.sampler.running)


def head(*headers: str, token: str = TOKEN) -> bytes:
    lines = [
        "POST /v1/images/edits HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {token}",
        "Content-Type: multipart/form-data; boundary=XX",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunk(content: bytes) -> bytes:
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


def parse(answer: bytes) -> tuple[int, dict[str, Any]]:
    first, _, body = answer.partition(b"\r\n\r\n")
    return int(first.split()[1]), json.loads(body)


def test_the_openai_client_learns_that_its_image_is_too_large(narrow: RunningService) -> None:
    noise = encoded(np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8))
    assert len(noise) > LIMIT
    with pytest.raises(openai.APIStatusError, match="the body has more than 300000 bytes") as caught:
        narrow.client().images.edit(image=("a.png", noise), prompt="Cup")
    assert caught.value.status_code == 413 and not narrow.sampler.requests
    noise *= 8  # more than sockets hold
    with pytest.raises(openai.APIStatusError, match="the body has more than 300000 bytes"):
        narrow.client().images.edit(image=("a.png", noise), prompt="Cup")


def test_a_chunked_body_is_counted_as_it_comes(narrow: RunningService) -> None:
    request = head("Transfer-Encoding: chunked") + chunk(BODY[:500])
    endless = [chunk(b"x" * 50_000)] * 8
    status, body = parse(narrow.raw(request, *endless, chunk(b""), end=ERROR_ENDS))
    assert status == 413 and body["error"]["code"] == "too_large" and not narrow.sampler.requests
    whole = (
        head("Transfer-Encoding: chunked", "Connection: close") + chunk(BODY[:100]) + chunk(BODY[100:]) + b"0\r\n\r\n"
    )
    assert b"200 OK" in narrow.raw(whole)


def test_an_announced_body_is_refused_before_it_comes(narrow: RunningService) -> None:
    answer = narrow.raw(head("Content-Length: 99999999999", "Expect: 100-continue"), end=ERROR_ENDS)
    assert parse(answer)[0] == 413 and b"100 Continue" not in answer  # who waits for the body says 408
    assert parse(narrow.raw(head("Content-Length: 99999999999"), end=ERROR_ENDS))[0] == 413
    announced = head("Content-Length: 250000", token="wrong")
    assert parse(narrow.raw(announced, b"x" * 250_000, end=ERROR_ENDS))[0] == 401


def test_a_slow_sender_is_given_up(narrow: RunningService) -> None:
    begin = time.perf_counter()
    assert parse(narrow.raw(head(f"Content-Length: {len(BODY)}") + BODY[:50], end=ERROR_ENDS))[0] == 408
    assert time.perf_counter() - begin > 0.9


def test_more_work_than_a_request_may_have_is_refused_before_its_image_is_decoded(patient: RunningService) -> None:
    sampler = patient.sampler
    sampler.refusal = TooMuchWork(300, 60)
    error = error_of(patient.edit(cutout()[:200], n=8, size="256x128", steps=60), 400)  # half an image
    assert error["code"] == "too_much_work" and error["message"].startswith("this takes about 300 s to paint")
    assert sampler.reserved == [(8, 256 * 128 * (2 * 60 + 4), False)] and not sampler.requests
    sampler.refusal = Overloaded(17)
    answer = patient.edit()
    assert error_of(answer, 429)["code"] == "busy" and answer.headers["retry-after"] == "17"


def test_a_byte_now_and_then_does_not_keep_it_open(narrow: RunningService) -> None:
    with socket.create_connection(("127.0.0.1", narrow.port)) as connection:
        connection.sendall(head(f"Content-Length: {len(BODY)}"))
        connection.settimeout(0.05)
        answer, sent = b"", 0
        while not answer.endswith(ERROR_ENDS) and sent < 200:
            with contextlib.suppress(TimeoutError):
                answer += connection.recv(1 << 16)
            connection.sendall(BODY[sent : sent + 1])
            sent += 1
    assert parse(answer)[0] == 408 and sent < 200
    assert not narrow.sampler.requests


def test_a_body_cut_off_half_way_paints_nothing(narrow: RunningService) -> None:
    narrow.raw(head(f"Content-Length: {len(BODY)}") + BODY[:200], wait=0.2)
    with socket.create_connection(("127.0.0.1", narrow.port)) as connection:
        connection.sendall(head(f"Content-Length: {len(BODY)}") + BODY[:200])
        connection.shutdown(socket.SHUT_WR)
    assert narrow.edit().status_code == 200
    assert len(narrow.sampler.requests) == 1


def test_a_late_answer_is_given_up(narrow: RunningService) -> None:
    narrow.sampler.held = True
    begin = time.perf_counter()
    answer = narrow.edit(n=3)
    assert error_of(answer, 503)["code"] == "timeout" and answer.headers["retry-after"]
    assert time.perf_counter() - begin > 1.8
    assert narrow.sampler.cancelled == 3 and not narrow.sampler.running


def test_a_disconnect_cancels_the_request(patient: RunningService) -> None:
    patient.sampler.held = True
    with socket.create_connection(("127.0.0.1", patient.port)) as connection:
        connection.sendall(head(f"Content-Length: {len(BODY)}") + BODY)
        wait_until(lambda: patient.sampler.running == 1)
    wait_until(lambda: patient.sampler.cancelled == 1)
    with pytest.raises(openai.APITimeoutError):
        patient.client(timeout=2).images.edit(image=("a.png", cutout()), prompt="Cup", n=4)
    wait_until(lambda: patient.sampler.cancelled == 5)
    wait_until(lambda: 'status="499"' in patient.send("GET", "/metrics").text)


def test_requests_beyond_the_limit_are_refused_while_the_others_wait(patient: RunningService) -> None:
    patient.sampler.held = True
    with ThreadPoolExecutor(6) as pool:
        inside = [pool.submit(patient.edit) for _ in range(6)]
        wait_until(lambda: patient.sampler.running == 6)
        answer = patient.edit()
        assert error_of(answer, 429)["code"] == "busy" and answer.headers["retry-after"]
        patient.sampler.held = False
        assert [one.result().status_code for one in inside] == [200] * 6


def test_requests_are_painted_concurrently(service: RunningService) -> None:
    service.sampler.held = True
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(service.edit, n=4, seed=k) for k in range(5)]
        wait_until(lambda: service.sampler.most == 20)
        service.sampler.held = False
        answers = [one.result().json() for one in asked]
    for seed, answer in enumerate(answers):
        assert answer["seed"] == seed and shown(answer) == shown(service.edit(n=4, seed=seed).json())


def test_connections_are_kept(service: RunningService) -> None:
    with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        for _ in range(3):
            files = {"image": ("a.png", cutout())}
            assert client.post("/v1/images/edits", files=files, data={"prompt": "Cup"}).status_code == 200
            assert client.get("/v1/models").status_code == 200
            assert client.post("/v1/images/edits", content=b"x").status_code == 415
