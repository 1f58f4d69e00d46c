"""The generator service as a user starts it: over HTTP, asked, and stopped in the middle of a request."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from PIL import Image

from p2i_ray.mini.world import CLEAN, render
from tests.support.generator_folders import make_folders
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-ours"


def start(*settings: str) -> subprocess.Popen[str]:
    command = [sys.executable, "jobs/serve.py", "--config", "mini", "serve.judge=false", *settings]
    environment = {**os.environ, "P2I_API_TOKEN": TOKEN}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def body(**fields: str) -> tuple[bytes, str]:
    """A multipart form with one product."""
    sample = render(7, 1, CLEAN)
    head = '--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    parts = [head.encode() + png(np.dstack([sample.image, sample.mask])) + b"\r\n"]
    for name, value in {"prompt": sample.name, **fields}.items():
        parts.append(f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    return b"".join(parts) + b"--x--\r\n", "multipart/form-data; boundary=x"


def paint(address: str, **fields: str) -> list[dict[str, str]]:
    data, kind = body(**fields)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
    with urllib.request.urlopen(urllib.request.Request(f"{address}/v1/images/edits", data, headers)) as answer:
        return list(json.load(answer)["data"])


@pytest.mark.slow
def test_the_shop_paints_and_finishes_what_it_has_begun(tmp_path: Path) -> None:
    port = free_port()
    service = start(f"serve.port={port}", f"serve.jobs={tmp_path}")
    try:
        assert service.stdout is not None
        address = next(line for line in service.stdout if line.startswith("http")).split()[0]
        assert address == f"http://127.0.0.1:{port}"
        assert len(paint(address, n="3")) == 3
        found: list[dict[str, str]] = []
        asking = threading.Thread(target=lambda: found.extend(paint(address, n="8", steps="60")))
        asking.start()
        asking.join(0.7)
        assert asking.is_alive()
        service.send_signal(signal.SIGTERM)
        asking.join(60)
        assert len(found) == 8
        assert service.wait(60) == 0
        assert TOKEN not in service.stdout.read()
    finally:
        service.kill()


@pytest.mark.slow
def test_the_shop_paints_in_the_style_of_a_reference(tmp_path: Path) -> None:
    """By OpenAI's client: the same request gives the same pixels alone and beside others, and a reference matters."""
    settings = make_folders(tmp_path / "generators")
    folders = [f"generators.{kind}={getattr(settings, kind)}" for kind in ("category", "personality")]
    port = free_port()
    service = start(f"serve.port={port}", f"serve.jobs={tmp_path}/jobs", "serve.batch_wait_timeout_s=1", *folders)
    try:
        assert service.stdout is not None
        address = next(line for line in service.stdout if line.startswith("http")).split()[0]
        client = openai.OpenAI(base_url=f"{address}/v1", api_key=TOKEN, max_retries=0, timeout=300)
        sample = render(7, 1, CLEAN)
        product = png(np.dstack([sample.image, sample.mask]))
        styles = [png(render(7, number, CLEAN).image) for number in (2, 3)]

        def edit(*images: bytes, **more: Any) -> bytes:
            """The pixels: files differ in their signature."""
            files = [(f"{number}.png", content) for number, content in enumerate(images)]
            answer = client.images.edit(image=files, prompt="cup", extra_body={"seed": 3, "steps": 2, **more})
            file = base64.b64decode((answer.data or [])[0].b64_json or "")
            return np.asarray(Image.open(io.BytesIO(file))).tobytes()

        alone = edit(product, styles[0])
        with ThreadPoolExecutor(4) as pool:
            work = [
                pool.submit(edit, product, styles[0], **more) for more in ({}, {"guidance": 7}, {"category": "bag"})
            ]
            same, *others = [one.result() for one in [*work, pool.submit(edit, product, styles[1])]]
        assert same == alone and len({alone, *others, edit(product)}) == 5
        with pytest.raises(openai.BadRequestError, match="2 references came"):
            edit(product, *styles)
    finally:
        service.terminate()
        service.wait(60)


def png(pixels: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service = start(f"serve.port={taken.getsockname()[1]}")
        _, errors = service.communicate(timeout=120)
    assert service.returncode == 2
    assert errors.strip().splitlines()[-1].startswith("error: can't listen on 127.0.0.1")


@pytest.mark.parametrize(
    ("job", "setting", "says"),
    [
        ("serve", "serve.model=/nope", "model folder /nope is not there"),
        ("serve", "judge.model=/nope", "judge.model=/nope: there is no such folder"),
        ("serve", "generators.category=/nope", "generators.category=/nope is no folder that is there"),
        ("serve_lmm", "judge.model=/nope", "judge.model=/nope: there is no such folder"),
    ],
)
def test_a_model_that_is_not_there_is_told_before_ray_starts(job: str, setting: str, says: str) -> None:
    command = [sys.executable, f"jobs/{job}.py", "--config", "mini", setting, f"serve.port={free_port()}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {says}")
    assert done.stderr.count("\n") == 1 and not done.stdout  # Ray would say where its dashboard is
