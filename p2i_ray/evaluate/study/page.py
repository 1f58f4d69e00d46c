"""The raters' page: one file that loads nothing and says nothing about methods."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p2i_ray.evaluate.study.pictures import Shown
from p2i_ray.evaluate.study.study import Study

FOLDER = Path(__file__).parent / "page"
SCRIPTS = ("votes.js", "send.js", "page.js")  # in this order, as one module
HTML = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}  # which must not end a script element


def render(made: Study, shown: Mapping[str, Shown], *, cutouts: bool) -> str:
    """The page's HTML.

    Args:
        made: the study; of its key only what raters may see goes into the page.
        shown: the pictures, by product.
        cutouts: whether the product is shown as it was given, too.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    script = "\n".join((FOLDER / name).read_text("utf-8") for name in SCRIPTS)
    style = (FOLDER / "page.css").read_text("utf-8")
    templates = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined)
    return templates.get_template("index.html").render(
        title=made.title,
        policy=f"default-src 'none'; img-src data:; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'",
        style=Markup(style),
        script=Markup(script),
        data=Markup(json.dumps(_data(made, shown, cutouts), ensure_ascii=False).translate(HTML)),
    )


def _data(made: Study, shown: Mapping[str, Shown], cutouts: bool) -> dict[str, Any]:
    """The page's content. Questions and pictures are in the order of their random keys."""
    pictures = {key: shown[one.product].painted[one.method] for key, one in sorted(made.pictures.items())}
    questions, places = [], dict[str, str]()
    for id_, one in sorted(made.questions.items()):
        product = made.product(id_)
        asked = {"id": id_, "name": shown[product].name, "left": one.left, "right": one.right}
        if cutouts:
            asked["cutout"] = places.setdefault(product, f"cutout-{len(places)}")
        questions.append(asked)
    encoded = {**pictures, **{place: shown[product].cutout for product, place in places.items()}}
    return {
        "study": made.id,
        "criteria": [one.model_dump() for one in made.criteria],
        "questions": questions,
        "pictures": {key: f"data:image/webp;base64,{base64.b64encode(one).decode()}" for key, one in encoded.items()},
    }


def _digest(text: str) -> str:
    """A hash as a content security policy names an inline script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
