"""Marks encoded pictures: IPTC's digital source type in XMP, and a C2PA manifest that is signed over all of the file.

The manifest has one action, that the picture was created, with the digital source type, the software, the model's
fingerprint and the seed: with them and the same inputs the picture can be made again.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import io
import json
import threading
from collections.abc import Mapping
from typing import Any, Literal

import c2pa
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from p2i_ray.config.provenance import ProvenanceConfig
from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError
from p2i_ray.provenance import source_type
from p2i_ray.provenance.certificate import credentials

Format = Literal["png", "jpeg", "webp"]
NAME = "p2i_ray"
PREFIX = "p2i_ray."  # of our own parameters in a manifest
EARLY = datetime.timedelta(days=1)  # before the certificate's end, from which a new one is looked for


class Marker:
    """Encodes pictures with their marks. Made once a process; it may be used by several threads.

    When its certificate ends, the files of the settings are read again, or another one is made.

    Args:
        settings: what marks there are.
        model: what is said of the model where a picture names no other: a fingerprint.

    Raises:
        UserError: the certificate can't be used; see `credentials`.
    """

    def __init__(self, settings: ProvenanceConfig, model: str) -> None:
        self.settings, self._model = settings, model
        self._software = _software()  # once: it is looked up in files
        tool = " ".join(self._software.values())
        self._xmp = source_type.packet(settings.source_type, tool) if settings.enabled else None
        self._one_at_a_time = threading.Lock()  # of those that look for another certificate
        self._signer: c2pa.Signer | None = None
        self._until = datetime.datetime.max.replace(tzinfo=datetime.UTC)
        if settings.enabled:
            self._signer, self._until = _signer(settings)
        # A thumbnail is not needed, and checking what was just signed would double the time.
        options = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}}
        self._context = c2pa.Context.builder().with_settings(c2pa.Settings.from_dict(options)).build()

    def encode(
        self, pixels: Pixels, form: Format, *, seed: int, quality: int | None = None, model: str | None = None
    ) -> bytes:
        """A picture's file with its marks.

        Args:
            pixels: (H, W, 3) uint8.
            form: of the file.
            seed: of the picture's noise.
            quality: of JPEG or WebP, 0 to 100; WebP of 100 is lossless.
            model: fingerprint of the model that painted it (none: the marker's).

        Raises:
            UserError: see `check`.
        """
        self.check()
        plain, signer = encode(pixels, form, quality=quality, xmp=self._xmp), self._signer
        if signer is None:
            return plain
        builder = c2pa.Builder(self._manifest({"model": model or self._model, "seed": seed}), context=self._context)
        marked = io.BytesIO()
        builder.sign(signer, f"image/{form}", io.BytesIO(plain), marked)
        return marked.getvalue()

    def check(self) -> None:
        """See that pictures can be signed now.

        Raises:
            UserError: the certificate has ended, and its file has no other.
        """
        if self._signer is None:
            return
        with self._one_at_a_time:
            now = datetime.datetime.now(datetime.UTC)
            if now <= self._until - EARLY:
                return
            try:
                self._signer, self._until = _signer(self.settings)
            except UserError:
                if now > self._until:
                    raise

    def _manifest(self, facts: Mapping[str, Any]) -> str:
        software = self._software
        created = {
            "action": "c2pa.created",
            "digitalSourceType": source_type.term(self.settings.source_type),
            "softwareAgent": software,
            "parameters": {f"{PREFIX}{name}": value for name, value in facts.items()},
        }
        actions = {"label": "c2pa.actions.v2", "data": {"actions": [created]}}
        return json.dumps({"claim_generator_info": [software], "assertions": [actions]})


def _signer(settings: ProvenanceConfig) -> tuple[c2pa.Signer, datetime.datetime]:
    """The signer, and the end of its certificate."""
    own = credentials(settings)
    return c2pa.Signer.from_info(c2pa.C2paSignerInfo(own.algorithm.encode(), own.chain, own.key, None)), own.until


def _software() -> dict[str, str]:
    """The software, as C2PA names it; on a path alone, without an installation, its version isn't known."""
    try:
        return {"name": NAME, "version": importlib.metadata.version(NAME)}
    except importlib.metadata.PackageNotFoundError:
        return {"name": NAME}


QUALITY = 95  # of JPEG and WebP where none is asked for


def encode(pixels: Pixels, form: Format, *, quality: int | None = None, xmp: bytes | None = None) -> bytes:
    """Encode a picture; without XMP the same pixels give the same bytes.

    Args:
        pixels: (H, W, 3) uint8.
        form: png, jpeg or webp.
        quality: see Marker.encode.
        xmp: a packet that is put into the file.
    """
    picture, out = Image.fromarray(pixels), io.BytesIO()
    chosen = QUALITY if quality is None else quality
    options: dict[str, Any] = {} if xmp is None else {"xmp": xmp}
    if form == "png":
        texts = PngInfo()
        if xmp is not None:
            texts.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=False)
        picture.save(out, "PNG", compress_level=3, pnginfo=texts)
    elif form == "jpeg":
        picture.save(out, "JPEG", quality=max(chosen, 1), subsampling=0, **options)
    else:
        picture.save(out, "WEBP", quality=chosen, lossless=chosen == 100, **options)
    return out.getvalue()
