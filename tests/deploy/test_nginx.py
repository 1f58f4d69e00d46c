"""The proxy's configuration, tried with nginx itself: over TLS, with bare sockets where clients misbehave."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from p2i_ray.config import load
from p2i_ray.config.serve import ServeJobConfig
from tests.support.ports import free_port

CONF = Path(__file__).parents[2] / "cluster" / "nginx.conf"
NAME = "shop.example.com"
LIMIT_S = 30.0  # of a test's socket: nothing here takes that long

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not (shutil.which("nginx") and shutil.which("openssl")), reason="no nginx or openssl"),
]


class Service(BaseHTTPRequestHandler):
    """Answers with what reached it."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer()

    def _answer(self) -> None:
        Service.seen.append(dict(self.headers.items()))
        status = 429 if self.path == "/full" else 200
        body = json.dumps({"path": self.path}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Upstream(ThreadingHTTPServer):
    """The service, which says nothing of clients that have gone."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        pass


class Proxy(NamedTuple):
    port: int
    plain: int
    trust: ssl.SSLContext

    def connect(self, name: str = NAME) -> ssl.SSLSocket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S)
        return self.trust.wrap_socket(connection, server_hostname=name)

    def ask(self, head: str, body: bytes = b"") -> tuple[http.client.HTTPResponse, bytes]:
        with self.connect() as connection:
            connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
            return answer(connection)


def answer(connection: socket.socket) -> tuple[http.client.HTTPResponse, bytes]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response, response.read()


def start_nginx(folder: Path, upstream: int) -> tuple[subprocess.Popen[bytes], Proxy]:
    """The configuration with this test's ports, names and a head's second instead of ten."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *subject]
    subprocess.run([*make, "-keyout", key, "-out", certificate, "-days", "2"], check=True, capture_output=True)
    port, plain = free_port(), free_port()
    text = CONF.read_text("utf-8")
    for now, then in [
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("127.0.0.1:8000", f"127.0.0.1:{upstream}"),
        ("/etc/nginx/tls/fullchain.pem", str(certificate)),
        ("/etc/nginx/tls/privkey.pem", str(key)),
        ("/var/log/nginx/", f"{folder}/"),
        ("client_header_timeout 10s", "client_header_timeout 1s"),
        ("limit_conn connections 64", "limit_conn connections 8"),
        ("http {", f"http {{ client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;"),
    ]:
        assert now in text, now
        text = text.replace(now, then)
    conf = folder / "nginx.conf"
    conf.write_text(f"daemon off; master_process off; pid {folder}/nginx.pid;\n{text}")
    subprocess.run(["nginx", "-t", "-c", conf, "-e", folder / "start.log"], check=True, capture_output=True)
    process = subprocess.Popen(["nginx", "-c", conf, "-e", folder / "start.log"])
    return process, Proxy(port, plain, ssl.create_default_context(cafile=str(certificate)))


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    service = Upstream(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    process, found = start_nginx(tmp_path_factory.mktemp("nginx"), service.server_port)
    wait_for(found.port, process)
    yield found
    process.terminate()
    process.wait()
    service.shutdown()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise AssertionError("nginx has not started")


def test_a_request_passes_and_only_the_proxy_says_who_asks(proxy: Proxy) -> None:
    Service.seen.clear()
    head = f"GET /v1/models HTTP/1.1\nHost: {NAME}\nX-Forwarded-For: 8.8.8.8\nForwarded: for=8.8.8.8\n"
    response, body = proxy.ask(head + "X-Request-Timeout-Seconds: 9999\nX-Request-Disconnect-Disabled: 1")
    assert (response.status, json.loads(body)) == (200, {"path": "/v1/models"})
    assert response.headers["Strict-Transport-Security"]
    (seen,) = [{name.lower(): value for name, value in one.items()} for one in Service.seen]
    assert (seen["host"], seen["x-forwarded-for"], seen["x-forwarded-proto"]) == (NAME, "127.0.0.1", "https")
    assert not {"forwarded", "x-request-timeout-seconds", "x-request-disconnect-disabled"} & set(seen)


def test_the_services_own_errors_pass_as_they_are(proxy: Proxy) -> None:
    response, body = proxy.ask(f"GET /full HTTP/1.1\nHost: {NAME}")
    assert (response.status, response.headers["Retry-After"], json.loads(body)) == (429, "7", {"path": "/full"})


def test_a_slow_head_is_ended_after_the_time_of_a_whole_head(proxy: Proxy) -> None:
    """A byte now and then doesn't renew it: the client sends on until nginx closes, which is what is waited for."""
    with proxy.connect() as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n".encode())
        connection.settimeout(0.2)
        sent, closed = 0, False
        while not closed and sent < 100:
            try:
                connection.sendall(b"X")
                sent += 1
                closed = connection.recv(1) == b""
            except TimeoutError:
                continue
            except (ConnectionError, ssl.SSLError):
                closed = True
        assert closed and sent < 100


@pytest.mark.parametrize(
    ("head", "status"), [("GET /" + "a" * 9000 + " HTTP/1.1", 414), ("GET / HTTP/1.1\nX-A: " + "a" * 9000, 400)]
)
def test_a_giant_line_of_a_head_is_refused(proxy: Proxy, head: str, status: int) -> None:
    response, body = proxy.ask(f"{head}\nHost: {NAME}")
    assert response.status == status and json.loads(body)["error"]["code"] == "bad_request"


def test_a_giant_head_of_small_lines_is_refused(proxy: Proxy) -> None:
    lines = "\n".join(f"X-{number}: {'a' * 1000}" for number in range(40))
    response, body = proxy.ask(f"GET / HTTP/1.1\nHost: {NAME}\n{lines}")
    assert response.status == 400 and json.loads(body)["error"]["code"] == "bad_request"


def test_a_body_that_says_it_is_too_large_is_refused_unread_but_a_jobs_may_be(proxy: Proxy) -> None:
    head = f"Host: {NAME}\nContent-Length: {30_000_000}\nExpect: 100-continue"
    response, body = proxy.ask(f"POST /v1/images/edits HTTP/1.1\n{head}")
    assert response.status == 413 and json.loads(body)["error"]["code"] == "too_large"
    for path in ("/v1/jobs", "/v1/jobs/quote"):
        with proxy.connect() as connection:
            connection.sendall(f"POST {path} HTTP/1.1\n{head}".replace("\n", "\r\n").encode() + b"\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")


def test_metrics_are_not_for_the_open_network(proxy: Proxy) -> None:
    response, body = proxy.ask(f"GET /metrics HTTP/1.1\nHost: {NAME}")
    assert response.status == 404 and json.loads(body)["error"]["code"] == "not_found"


def test_another_name_gets_no_certificate_and_plain_http_is_sent_to_tls(proxy: Proxy) -> None:
    with pytest.raises(ssl.SSLError):
        proxy.connect("other.example.com")
    plain = http.client.HTTPConnection("127.0.0.1", proxy.plain, timeout=LIMIT_S)
    plain.request("GET", "/a?b", headers={"Host": "evil.example.com"})
    response = plain.getresponse()
    assert (response.status, response.headers["Location"]) == (308, f"https://{NAME}/a?b")


def test_an_address_has_so_many_requests_under_way(tmp_path: Path) -> None:
    """Eight uploads that stand still, in this test's proxy; the ninth request is told to come back."""
    service = Upstream(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    process, proxy = start_nginx(tmp_path, service.server_port)
    try:
        wait_for(proxy.port, process)
        waiting = [proxy.connect() for _ in range(8)]
        for connection in waiting:
            head = f"POST /v1/jobs HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")  # it is under way
        response, body = proxy.ask(f"GET / HTTP/1.1\nHost: {NAME}")
        assert (response.status, response.headers["Retry-After"]) == (429, "1")
        assert json.loads(body)["error"]["code"] == "busy"
        for connection in waiting:
            connection.close()
    finally:
        process.terminate()
        process.wait()
        service.shutdown()


def test_a_service_that_is_down_is_answered_for(tmp_path: Path) -> None:
    process, proxy = start_nginx(tmp_path, free_port())
    try:
        wait_for(proxy.port, process)
        response, body = proxy.ask(f"GET / HTTP/1.1\nHost: {NAME}")
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert json.loads(body)["error"]["code"] == "unavailable"
        assert response.headers["Content-Type"] == "application/json"
    finally:
        process.terminate()
        process.wait()


def test_its_limits_are_the_services() -> None:
    text, limits = CONF.read_text("utf-8"), load(ServeJobConfig, "mini").serve.limits
    assert f"client_max_body_size {limits.max_bytes // 1_000_000}m;" in text
    assert f"client_max_body_size {limits.max_job_bytes // 1_000_000}m;" in text
    assert f"proxy_read_timeout {limits.answer_s + 10:.0f}s;" in text
