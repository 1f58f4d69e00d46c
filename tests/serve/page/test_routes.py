"""The page's files, and the policy they are served with."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.testclient import TestClient

from p2i_ray.config.shapes import Size
from p2i_ray.serve.images.marketplaces import Marketplace
from p2i_ray.serve.page import routes
from p2i_ray.serve.page.routes import Offers

SHOP = Marketplace(Size(900, 1200), share=0.6, margin=0.1, formats=("jpeg",), max_bytes=1)


def test_what_the_service_offers_is_in_the_page(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<body>\n<p>", "utf-8")
    for offers, body in (
        (Offers(), "<body>\n<p>"),
        (Offers(judged=True, by_category=True), "<body data-judged data-by-category>\n<p>"),
        (
            Offers(styled=True, marketplaces={'A "&" shop': SHOP}, shapes=[1, 0.8]),
            '<body data-styled data-marketplaces="{&quot;A \\&quot;&amp;\\&quot; shop&quot;: {&quot;aspect&quot;: '
            '0.75, &quot;share&quot;: 0.6, &quot;margin&quot;: 0.1}}" data-shapes="[1, 0.8]">\n<p>',
        ),
    ):
        app = FastAPI()
        routes.install(app, tmp_path, offers=offers)
        assert TestClient(app).get("/").text == body


def test_no_more_categories_than_a_page_can_list() -> None:
    attributes = Offers(by_category=True, categories=["mug"] * 1001).attributes()
    assert attributes.count("mug") == 1000 and attributes.startswith('data-by-category data-categories="[&quot;mug')


def test_all_scripts_are_asked_for_at_once(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<head></head>", "utf-8")
    for name in ("b.js", "a.js", "a.css"):
        (tmp_path / name).write_text("", "utf-8")
    app = FastAPI()
    routes.install(app, tmp_path)
    links = '<link rel="modulepreload" href="a.js">\n<link rel="modulepreload" href="b.js">\n'
    assert TestClient(app).get("/").text == f"<head>{links}</head>"


def test_the_page(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<title>RunningService</title>", "utf-8")
    (tmp_path / "page.js").write_text("'use strict'", "utf-8")
    (tmp_path / "page.css").write_text("p {}", "utf-8")
    (tmp_path / "notes.txt").write_text("no", "utf-8")
    app = FastAPI()
    routes.install(app, tmp_path)
    client = TestClient(app)
    kinds = {"/": "text/html", "/page.js": "text/javascript", "/page.css": "text/css"}
    for path, kind in kinds.items():
        answer = client.get(path)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; img-src 'self' blob: data:") and "unsafe" not in policy
    assert client.get("/notes.txt").status_code == client.get("/index.html").status_code == 404
    bare = FastAPI()
    routes.install(bare, tmp_path / "nowhere")
    assert TestClient(bare).get("/").status_code == 404
