"""POST /v1/images/edits, as OpenAI's client sends it, and POST /v1/cutouts."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from p2i_ray.serve.http.answers import Picture
from p2i_ray.serve.http.asks import Rules, Wish, parse, settle
from p2i_ray.serve.http.faults import wrong
from p2i_ray.serve.http.forms import Form, one_file, only_files, read_form, short
from p2i_ray.serve.http.guard import Guard
from p2i_ray.serve.http.intake import Intake
from p2i_ray.serve.http.studio import Studio
from p2i_ray.serve.http.watch import Watch

IMAGE = ("image", "image[]", "image[0]")  # OpenAI's client names a list's files image[]
MASK = ("mask",)
FILES = 4  # so that who sends several is told so


class Edits:
    """The two calls that are answered with pictures."""

    def __init__(self, studio: Studio, intake: Intake, guard: Guard, rules: Rules, watch: Watch) -> None:
        self._studio, self._intake, self._guard, self._rules, self._watch = studio, intake, guard, rules, watch

    async def edit(self, request: Request) -> Response:
        """Paint a background around a product."""
        form = await self._read(request)
        only_files(form, *IMAGE, *MASK)
        wish = settle(parse({name: text for name, text in form.texts.items() if name not in IMAGE + MASK}), self._rules)
        image, mask = one_file(form, IMAGE, needed=True), one_file(form, MASK, needed=False)
        assert image is not None  # it is needed
        self._intake.check(image, "image")
        if mask is not None:
            self._intake.check(mask, "mask")
        self._guard.take(request, wish.candidates - 1)  # one was taken at the door
        pictures = await self._studio.make(wish, image, mask, "request")
        return JSONResponse(await asyncio.to_thread(_answer, wish, pictures))

    async def cutout(self, request: Request) -> Response:
        """Cut a product out of a photo: a PNG, or with response_format=b64_json its text."""
        form = await self._read(request)
        only_files(form, *IMAGE)
        for name in form.texts:
            if name not in (*IMAGE, "response_format", "model"):
                raise wrong(f"{short(name)} is not a field this request takes; leave it out", short(name))
        how = form.texts.get("response_format", "png")
        if how not in ("png", "b64_json"):
            raise wrong("response_format must be png or b64_json", "response_format")
        image = one_file(form, IMAGE, needed=True)
        assert image is not None
        png = await self._studio.cutout(image)
        if how == "png":
            return Response(png, media_type="image/png")
        return JSONResponse({"created": int(time.time()), "b64_json": base64.b64encode(png).decode("ascii")})

    async def _read(self, request: Request) -> Form:
        with self._watch.stage("upload"):
            return await read_form(request, FILES)


def _answer(wish: Wish, pictures: list[Picture]) -> dict[str, Any]:
    data = [{"b64_json": base64.b64encode(picture.encoded).decode("ascii"), **picture.said()} for picture in pictures]
    return {
        "created": int(time.time()),
        "background": "opaque",
        "data": data,
        "output_format": wish.output_format,
        "seed": wish.seed,
        "size": f"{wish.width}x{wish.height}",
    }
