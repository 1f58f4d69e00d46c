"""Open the shop: paint backgrounds over HTTP, as OpenAI's images edit call, with a page at `/`.

    python jobs/serve.py --config mini serve.port=8000
    P2I_API_TOKEN=… python jobs/serve.py --config a100x4 serve.model=s3://bucket/model serve.host=0.0.0.0

Prints the address, and the token if it had to make one. Ctrl-C or SIGTERM: requests on their way are finished first.
A new model in the folder of serve.model is taken up while requests come.
"""

from __future__ import annotations

from p2i_ray.cluster import connection
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.console.cli import main

NAME = "shop"


def run(shop: ServeJobConfig) -> None:
    import ray

    from p2i_ray.serve import app, hosting
    from p2i_ray.serve.edge.tokens import Tokens

    tokens = Tokens.from_settings(shop.serve)
    host, port = shop.serve.host, shop.serve.port
    hosting.check_port(host, port, "serve.port")
    connection.connect(shop.ray)
    hosting.require(shop)
    stopped = hosting.until_stopped()
    shown = hosting.start(NAME, app.graph(shop, tokens), host, port)
    print(f"{shown}  (Ctrl-C stops it)", flush=True)
    if tokens.made:
        print(f"token: {tokens.made}  (made now; set {shop.serve.token_env} to choose it)", flush=True)
    stopped.wait()
    print("stopping: requests on their way are finished", flush=True)
    hosting.stop(NAME)
    ray.shutdown()


if __name__ == "__main__":
    main(ServeJobConfig, __doc__, run)
