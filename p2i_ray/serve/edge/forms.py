"""Multipart forms: text fields and files, each name known and given once."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from p2i_ray.judge.requests.tasks import clean_name
from p2i_ray.serve.edge.errors import APIError, bad_request

MAX_FIELDS = 40
CHARSETS = (b"utf-8", b"utf8", b"us-ascii")  # Python's other codecs would let a client choose what its bytes become


@dataclass
class Form:
    """A multipart form: text fields, and files by the part's name."""

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[bytes]] = field(default_factory=dict)


class _Parser(MultiPartParser):
    """Starlette's parser, which also refuses texts that are not UTF-8, and records whether the form was complete."""

    complete = False

    def on_part_end(self) -> None:
        if self._current_part.file is None:  # Starlette would take other bytes as Latin-1, and paint another name
            try:
                self._current_part.data.decode("utf-8")
            except UnicodeDecodeError:
                name = short(self._current_part.field_name)
                raise MultiPartException(f"{name} is not UTF-8; send its text in UTF-8, whole characters") from None
        super().on_part_end()

    def on_end(self) -> None:
        self.complete = True


async def read_form(request: Request, max_files: int, max_text: int = 1 << 20) -> Form:
    """Read a multipart form; a field that is given twice is refused, file names are ignored.

    Raises:
        APIError: it is no multipart form, or a broken one.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise APIError(415, "send the fields as multipart/form-data, as OpenAI's client does", None, "wrong_type")
    charset = parse_options_header(request.headers["content-type"])[1].get(b"charset", b"utf-8")
    if charset.lower() not in CHARSETS:
        raise APIError(415, "send the form's texts in UTF-8, and leave charset out", None, "wrong_type")
    parser = _Parser(
        request.headers, request.stream(), max_files=max_files, max_fields=MAX_FIELDS, max_part_size=max_text
    )
    try:
        parts = await parser.parse()
    except MultiPartException as error:
        raise bad_request(f"the form can't be read: {error.message}") from None
    form = Form()
    try:
        if not parser.complete:
            raise bad_request("the form can't be read: it stops before its last boundary; send all of it")
        for name, value in parts.multi_items():
            if isinstance(value, UploadFile):
                content = await value.read()
                if content or value.filename:  # else a browser's field for a file that wasn't chosen
                    form.files.setdefault(name, []).append(content)
            elif name in form.texts:
                raise bad_request(f"{short(name)} is given twice; give it once", short(name))
            else:
                form.texts[name] = value
    finally:
        await parts.close()
    return form


def one_file(form: Form, names: tuple[str, ...], *, required: bool) -> bytes | None:
    """The one file given under any of these names.

    Raises:
        APIError: several were given, or none where one is required.
    """
    found = [content for name in names for content in form.files.get(name, [])]
    if len(found) > 1:
        raise bad_request(f"{len(found)} files came as {names[0]}; send one, a request paints one product", names[0])
    if not found and any(form.texts.get(name) for name in names):
        raise bad_request(f"{names[0]} is text; send it as a file", names[0])
    if not found and required:
        raise bad_request(f"{names[0]} is missing; send the product's picture as a file", names[0])
    return found[0] if found else None


def product_and_reference(
    form: Form, product: tuple[str, ...], reference: tuple[str, ...], *, offered: bool
) -> tuple[bytes, bytes | None]:
    """The product's file, and the reference's: the second of the product's names, or under a name of its own.

    Args:
        form: of an images edit.
        product: names that the product's file may have.
        reference: those of the reference's.
        offered: whether a reference may be given.

    Raises:
        APIError: there is no product, several references, or one where none may be given.
    """
    found = [content for name in product for content in form.files.get(name, [])]
    styles = [*found[1:], *(content for name in reference for content in form.files.get(name, []))]
    for name in reference:
        if form.texts.get(name):
            raise bad_request(f"{name} is text; send it as a file", name)
    if styles and not offered:
        came = f"{len(found)} files came as {product[0]}" if len(found) > 1 else f"a file came as {reference[0]}"
        raise bad_request(
            f"{came}; send one, a request paints one product; a reference for the style needs a server with "
            "generators.personality",
            product[0] if len(found) > 1 else reference[0],
        )
    if len(styles) > 1:
        raise bad_request(
            f"{len(styles)} references came; send one beside the product, a picture is painted in one style",
            reference[0],
        )
    if not found:
        one_file(form, product, required=True)
    return found[0], styles[0] if styles else None


def only_files(form: Form, *known: str) -> None:
    """Refuse files under any other name."""
    for name in form.files:
        if name not in known:
            raise bad_request(f"{short(name)} is not a file this request takes; leave it out", short(name))


def short(name: str) -> str:
    """A client's own field name, safe to repeat in an error."""
    return clean_name(name, 40) or "a field without a name"
