"""Serve the LMM by itself: OpenAI's chat completions with pictures, streams and structured output, on ray.serve.llm.

    python jobs/serve_lmm.py --config mini
    P2I_API_TOKEN=… python jobs/serve_lmm.py --config gpu24gb serve.lmm.max_replicas=4 serve.chat.port=8001

Prints the address, and the token if it had to make one: base_url and api_key of the openai package. Ctrl-C or SIGTERM:
answers that are being written are finished first.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parents[1]))

from p2i_ray import cluster
from p2i_ray.cli import main
from p2i_ray.config.serve import ShopConfig
from p2i_ray.errors import UserError
from p2i_ray.serve.http.access import Tokens

NAME = "lmm"


def run(shop: ShopConfig) -> None:
    import ray

    tokens = Tokens.from_settings(shop.serve)
    host, port = shop.serve.host, shop.serve.chat.port
    check_port(host, port)
    cluster.connect(shop.ray)
    stopped = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        stopped.set()
        signal.signal(number, signal.SIG_DFL)  # the second time it means at once

    for number in (signal.SIGINT, signal.SIGTERM):  # after Ray has set its own
        signal.signal(number, stop)
    start(shop, tokens, host, port)
    print(f"http://{f'[{host}]' if ':' in host else host}:{port}/v1  {shop.serve.chat.model_name}  (Ctrl-C stops it)")
    if tokens.made:
        print(f"token: {tokens.made}  (made now; set {shop.serve.token_env} to choose it)")
    sys.stdout.flush()
    stopped.wait()
    print("stopping: answers on their way are finished", flush=True)
    finish()
    ray.shutdown()


def start(shop: ShopConfig, tokens: Tokens, host: str, port: int) -> None:
    """Start the application; returns when it answers.

    Raises:
        UserError: the cluster has too little for one engine, or the model doesn't load.
    """
    from ray import serve

    from p2i_ray.serve.lmm import app

    scale, engines = shop.serve.lmm, max(1, shop.serve.lmm.min_replicas) * shop.judge.tensor_parallel_size
    cluster.require("serve.lmm", CPU=app.FRONT_CPUS + engines * scale.num_cpus, GPU=engines * scale.num_gpus)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # Serve's import has set its own
    graph = app.graph(shop, tokens)
    serve.start(
        http_options={"host": host, "port": port},
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    )
    try:
        serve.run(graph, name=NAME, route_prefix="/")
    except RuntimeError as error:
        serve.delete(NAME)
        raise UserError(f"the LMM {shop.judge.model} doesn't start: {' '.join(str(error).split())[-300:]}") from error


def finish() -> None:
    """Let nobody in any more, wait for those inside, and free what the engines hold."""
    from ray import serve

    from p2i_ray.serve.app import DRAINING_S

    serve.get_app_handle(NAME).close.remote().result(timeout_s=DRAINING_S + 5)
    serve.delete(NAME)


def check_port(host: str, port: int) -> None:
    """Raises UserError if nothing can listen there."""
    try:
        with socket.create_server((host, port), reuse_port=False):
            pass
    except OSError as error:
        raise UserError(f"can't listen on {host}:{port}: {error.strerror}; give another serve.chat.port") from None


if __name__ == "__main__":
    main(ShopConfig, __doc__, run)
