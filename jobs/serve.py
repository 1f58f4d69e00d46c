"""Serve the generator: paint backgrounds over HTTP, as OpenAI's images edit call, with a web page at `/`.

    python jobs/serve.py --config mini serve.port=8000
    P2I_API_TOKEN=… python jobs/serve.py --config a100x4 serve.model=s3://bucket/model serve.host=0.0.0.0

Prints the address, and the token if it had to make one. Ctrl-C or SIGTERM: requests in flight are finished first.
A new model in the folder of serve.model is loaded while requests are served.
"""

from __future__ import annotations

from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.console.cli import main


def run(config: ServeJobConfig) -> None:
    """Host the generator service until a signal stops it."""
    from p2i_ray.cluster import resources
    from p2i_ray.serve import app, hosting

    service = hosting.Service(
        name="generator",
        check=app.graph,  # made anew later, with the cluster's runtime environment
        graph=app.graph,
        resources=resources.generator_service(config),
        port=config.serve.port,
        port_setting="serve.port",
    )
    hosting.host(config, service)


if __name__ == "__main__":
    main(ServeJobConfig, __doc__, run)
