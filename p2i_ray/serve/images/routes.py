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
from p2i_ray.serve.edge.forms import Form, one_file, only_files, product_and_reference, read_form, short
from p2i_ray.serve.edge.metrics import HTTPMetrics
from p2i_ray.serve.edge.quota import Quota
from p2i_ray.serve.images.acceptance import Tally
from p2i_ray.serve.images.decoding import ImageDecoder
from p2i_ray.serve.images.encoding import GeneratedImage
from p2i_ray.serve.images.params import EditParams, EditRules, resolve
from p2i_ray.serve.images.schema import parse
from p2i_ray.serve.images.service import ImageService, Pictures

IMAGE = ("image", "image[]", "image[0]", "image[1]")  # OpenAI's client names a list's files image[]
MASK = ("mask",)
REFERENCE = ("reference",)  # or the second image
MAX_FILES = 4  # more than one, so that a client that sends several gets an error that says so


class ImageRoutes:
    """The two routes that answer with images."""

    def __init__(
        self,
        *,
        service: ImageService,
        decoder: ImageDecoder,
        authenticator: Authenticator,
        rules: EditRules,
        metrics: HTTPMetrics,
        quota: Quota,
    ) -> None:
        self._quota = quota
        self._service, self._decoder, self._authenticator = service, decoder, authenticator
        self._rules, self._metrics = rules, metrics

    async def edit(self, request: Request) -> Response:
        """Paint a background around a product."""
        form = await self._read(request)
        only_files(form, *IMAGE, *MASK, *REFERENCE)
        fields = {name: text for name, text in form.texts.items() if name not in IMAGE + MASK + REFERENCE}
        params = resolve(parse(fields), self._rules)
        offered = self._rules.generators.personality
        image, reference = product_and_reference(form, IMAGE, REFERENCE, offered=offered)
        mask = one_file(form, MASK, required=False)
        for content, name in ((image, "image"), (mask, "mask"), (reference, "reference")):
            if content is not None:
                self._decoder.check(content, name)
        self._authenticator.take(request, params.most - 1)  # one was taken before the body was read
        tally, pictures = Tally(), Pictures(image, mask, reference)
        exchange = request.state.exchange
        async with self._quota.counted(request.state.client, params.most, lambda: bool(exchange.gone)) as counted:
            try:
                images = await self._service.generate(params, pictures, tally, source="request")
            finally:
                counted.painted = tally.painted
        return JSONResponse(await asyncio.to_thread(_response, params, images, tally))

    async def cutout(self, request: Request) -> Response:
        """Segment a photo's product: a PNG with alpha, or with response_format=b64_json its base64."""
        form = await self._read(request)
        only_files(form, *IMAGE)
        for name in form.texts:
            if name not in (*IMAGE, "response_format", "model"):
                raise bad_request(f"{short(name)} is not a field this request takes; leave it out", short(name))
        response_format = form.texts.get("response_format", "png")
        if response_format not in ("png", "b64_json"):
            raise bad_request("response_format must be png or b64_json", "response_format")
        image = one_file(form, IMAGE, required=True)
        assert image is not None
        png = await self._service.cutout(image)
        if response_format == "png":
            return Response(png, media_type="image/png")
        return JSONResponse({"created": int(time.time()), "b64_json": base64.b64encode(png).decode("ascii")})

    async def _read(self, request: Request) -> Form:
        with self._metrics.stage("upload"):
            return await read_form(request, MAX_FILES)


def _response(params: EditParams, images: list[GeneratedImage], tally: Tally) -> dict[str, Any]:
    data = [{"b64_json": base64.b64encode(one.encoded).decode("ascii"), **one.metadata()} for one in images]
    size = {"size": data[0]["size"]} if len({one.size for one in images}) == 1 else {}  # of crops each has its own
    return {
        "created": int(time.time()),
        "background": "opaque",
        "data": data,
        "output_format": params.output_format,
        "seed": params.seed,
        "canvas": data[0]["canvas"],
        **size,
        **tally.totals(),
    }
