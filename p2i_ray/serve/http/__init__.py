"""The generator over HTTP: OpenAI's images edit call, batch jobs, the page; what paints and judges is passed in."""
