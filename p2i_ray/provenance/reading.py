"""Read a picture's making from its file: the digital source type, and whether its manifest holds."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any, Literal

import c2pa
from PIL import Image

from p2i_ray.data import magic
from p2i_ray.errors import UserError, one_line
from p2i_ray.provenance import source_type
from p2i_ray.provenance.marker import PREFIX

State = Literal["none", "changed", "expired", "signed", "trusted"]
FORMATS = ("PNG", "JPEG", "WEBP")
UNTRUSTED, EXPIRED = "signingCredential.untrusted", "signingCredential.expired"


@dataclass(frozen=True)
class Report:
    """The findings about a picture's making.

    Attributes:
        source_type: IPTC's, in XMP; none: there is none.
        state: of the C2PA manifest: there is none; the file was changed since it was signed; it is as it was signed, by
            a certificate that is out of date now; by somebody whom C2PA's trust list doesn't know; or whom it knows.
        signer: whom the certificate names.
        software: that made the picture.
        claimed: the digital source type that the manifest has.
        facts: what p2i_ray says of it: model, seed.
        problems: C2PA's codes of what doesn't hold.
    """

    source_type: str | None
    state: State = "none"
    signer: str | None = None
    software: str | None = None
    claimed: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read(content: bytes) -> Report:
    """Read the marks of a PNG, JPEG or WebP.

    Raises:
        UserError: it is no such picture.
    """
    form, xmp = _opened(content)
    found = source_type.find(xmp)
    try:
        reader = c2pa.Reader(f"image/{form}", io.BytesIO(content), context=_offline())
    except c2pa.C2paError.ManifestNotFound:
        return Report(found)
    except c2pa.C2paError as error:  # a manifest that can't be read at all
        return Report(found, "changed", problems=(one_line(error),))
    with reader:
        told = json.loads(reader.json())
        manifest = reader.get_active_manifest() or {}
        valid = reader.get_validation_state()
    codes = tuple(dict.fromkeys(one["code"] for one in told.get("validation_status", [])))
    created: dict[str, Any] = next(_created(manifest), {})
    state: State = "changed"
    if valid in ("Valid", "Trusted"):
        state = "signed" if UNTRUSTED in codes else "trusted"
    elif {*codes} - {UNTRUSTED} == {EXPIRED}:
        state = "expired"
    software, signature = created.get("softwareAgent", {}), manifest.get("signature_info", {})
    parameters = created.get("parameters", {})
    return Report(
        found,
        state,
        signer=signature.get("common_name") or signature.get("issuer"),
        software=" ".join(str(software[key]) for key in ("name", "version") if key in software) or None,
        claimed=created.get("digitalSourceType"),
        facts={name.removeprefix(PREFIX): value for name, value in parameters.items() if name.startswith(PREFIX)},
        problems=tuple(code for code in codes if code != UNTRUSTED),
    )


def _offline() -> c2pa.Context:
    """A context that fetches nothing that a file names."""
    return c2pa.Context.from_dict({"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}})


def _created(manifest: dict[str, Any]) -> Any:
    for assertion in manifest.get("assertions", []):
        if assertion.get("label", "").startswith("c2pa.actions"):
            yield from (one for one in assertion["data"]["actions"] if one.get("action") == "c2pa.created")


def _opened(content: bytes) -> tuple[str, bytes]:
    """A picture's format and its XMP packet as it stands in the file; empty: it has none. Pixels are not decoded."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            found = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp") or b""
            form = str(picture.format).lower()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise UserError(f"it is {magic.complaint(content, FORMATS)}") from None
    return form, found.encode() if isinstance(found, str) else found
