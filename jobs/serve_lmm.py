"""Serve the LMM by itself: OpenAI's chat completions with images, streams and structured output, on ray.serve.llm.

    python jobs/serve_lmm.py --config mini
    P2I_API_TOKEN=… python jobs/serve_lmm.py --config gpu24gb serve.lmm.max_replicas=4 serve.chat.port=8001

Prints the address, and the token if it had to make one: base_url and api_key of the openai package. Ctrl-C or SIGTERM:
requests in flight are finished first.
"""

from __future__ import annotations

from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.console.cli import main


def run(config: ServeJobConfig) -> None:
    """Host the LMM's application until a signal stops it."""
    from p2i_ray.cluster import resources
    from p2i_ray.serve import hosting
    from p2i_ray.serve.chat import app

    chat = config.serve.chat
    service = hosting.Service(
        name="LMM",
        check=app.check,
        graph=app.graph,
        resources=resources.chat_service(config),
        port=chat.port,
        port_setting="serve.chat.port",
        suffix=f"/v1  {chat.model_name}",
    )
    hosting.host(config, service)


if __name__ == "__main__":
    main(ServeJobConfig, __doc__, run)
