"""POST /v1/images/edits, as OpenAI's client sends it, and POST /v1/cutouts."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from p2i_ray.serve.edge.auth import Authenticator
from p2i_ray.serve.edge.errors import bad_request
from p2i_ray.serve.edge.forms import Form, one_file, only_files, read_form, short
from p2i_ray.serve.edge.metrics import HTTPMetrics
from p2i_ray.serve.images.decoding import ImageDecoder
from p2i_ray.serve.images.encoding import GeneratedImage
from p2i_ray.serve.images.schema import EditParams, EditRules, parse, resolve
from p2i_ray.serve.images.service import ImageService

IMAGE = ("image", "image[]", "image[0]")  # OpenAI's client names a list's files image[]
MASK = ("mask",)
FILES = 4  # so that who sends several is told so


class ImageRoutes:
    """The two calls that are answered with pictures."""

    def __init__(
        self, studio: ImageService, intake: ImageDecoder, guard: Authenticator, rules: EditRules, watch: HTTPMetrics
    ) -> None:
        self._studio, self._intake, self._guard, self._rules, self._watch = studio, intake, guard, rules, watch

    async def edit(self, request: Request) -> Response:
        """Paint a background around a product."""
        form = await self._read(request)
        only_files(form, *IMAGE, *MASK)
        wish = resolve(
            parse({name: text for name, text in form.texts.items() if name not in IMAGE + MASK}), self._rules
        )
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
                raise bad_request(f"{short(name)} is not a field this request takes; leave it out", short(name))
        how = form.texts.get("response_format", "png")
        if how not in ("png", "b64_json"):
            raise bad_request("response_format must be png or b64_json", "response_format")
        image = one_file(form, IMAGE, needed=True)
        assert image is not None
        png = await self._studio.cutout(image)
        if how == "png":
            return Response(png, media_type="image/png")
        return JSONResponse({"created": int(time.time()), "b64_json": base64.b64encode(png).decode("ascii")})

    async def _read(self, request: Request) -> Form:
        with self._watch.stage("upload"):
            return await read_form(request, FILES)


def _answer(wish: EditParams, pictures: list[GeneratedImage]) -> dict[str, Any]:
    data = [{"b64_json": base64.b64encode(picture.encoded).decode("ascii"), **picture.said()} for picture in pictures]
    return {
        "created": int(time.time()),
        "background": "opaque",
        "data": data,
        "output_format": wish.output_format,
        "seed": wish.seed,
        "size": f"{wish.width}x{wish.height}",
    }
