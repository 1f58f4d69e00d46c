"""Serve the LMM by itself: OpenAI's chat completions with pictures, streams and structured output, on ray.serve.llm.

    python jobs/serve_lmm.py --config mini
    P2I_API_TOKEN=… python jobs/serve_lmm.py --config gpu24gb serve.lmm.max_replicas=4 serve.chat.port=8001

Prints the address, and the token if it had to make one: base_url and api_key of the openai package. Ctrl-C or SIGTERM:
answers that are being written are finished first.
"""

from __future__ import annotations

import sys

from p2i_ray.cluster import connection
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.console.cli import main
from p2i_ray.serve.edge.tokens import Tokens

NAME = "LMM"


def run(shop: ServeJobConfig) -> None:
    import ray

    from p2i_ray.serve import hosting
    from p2i_ray.serve.chat import app

    tokens = Tokens.from_settings(shop.serve)
    host, port = shop.serve.host, shop.serve.chat.port
    hosting.check_port(host, port, "serve.chat.port")
    connection.connect(shop.ray)
    app.require(shop)
    stopped = hosting.until_stopped()
    shown = hosting.start(NAME, app.graph(shop, tokens), host, port)
    print(f"{shown}/v1  {shop.serve.chat.model_name}  (Ctrl-C stops it)")
    if tokens.made:
        print(f"token: {tokens.made}  (made now; set {shop.serve.token_env} to choose it)")
    sys.stdout.flush()
    stopped.wait()
    print("stopping: answers on their way are finished", flush=True)
    hosting.stop(NAME)
    ray.shutdown()


if __name__ == "__main__":
    main(ServeJobConfig, __doc__, run)
