"""A job's form, read: its products from a table or a list, by styles and sizes, each item checked before any is stored.

A submission is a multipart form: files under names of the client's choice, or in one zip (`archive`), and the field
`items`, a JSON list of {"image": FILE, "name": PRODUCT, "mask": FILE, "reference": FILE, …}, each with any field of an
images edit; or a file `table` in its place. The form's other text fields apply to all items.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from p2i_ray.config.serve import LimitsConfig
from p2i_ray.config.shapes import Size
from p2i_ray.diffusion.sampling.request import work
from p2i_ray.serve.edge.errors import APIError, bad_request
from p2i_ray.serve.edge.forms import Form, short
from p2i_ray.serve.edge.texts import check_texts, given
from p2i_ray.serve.images.framing import Shape
from p2i_ray.serve.images.params import EditRules, resolve
from p2i_ray.serve.images.schema import EditRequest, parse
from p2i_ray.serve.images.shape_fields import AutoShape
from p2i_ray.serve.jobs import archive, table
from p2i_ray.serve.jobs.archive import Archive
from p2i_ray.serve.jobs.files import SubmittedFiles
from p2i_ray.serve.jobs.schema import JobItem
from p2i_ray.serve.jobs.table import read_table
from p2i_ray.serve.jobs.variants import FIELDS, read_variants

EXAMPLE = 'items must be a JSON list such as [{"image": "cup.png", "name": "Steel cup"}], or a file table in its place'
PARTS = ("image", "mask", "reference")
KNOWN = frozenset((*PARTS, "name", *EditRequest.model_fields))  # columns of a table, fields of a style
OF_THE_JOB = ("items", *FIELDS, "max_dollars", "webhook")  # texts of the form that are no field of an item
ZIP = b"PK"  # how a zip begins


@dataclass(frozen=True)
class Submission:
    """The job that a form orders.

    Attributes:
        items: checked.
        inputs: the files that they name, by number.
        unnamed: files of the archive that no item names.
    """

    items: list[JobItem]
    inputs: list[bytes]
    unnamed: int = 0


@dataclass(frozen=True)
class _Product:
    """A product before styles and sizes are laid over it.

    Attributes:
        part: of the form: items, or table.
        place: where it stands, for errors.
        param: the same for programs.
        fields: as they were sent.
    """

    part: str
    place: str
    param: str
    fields: Any


class SubmissionReader:
    """Reads the forms of jobs. Slow with large ones: for a thread.

    Args:
        rules: that items are checked against.
        limits: of files and pictures.
    """

    def __init__(self, rules: EditRules, limits: LimitsConfig) -> None:
        self._rules, self._limits = rules, limits

    def read(self, form: Form, *, quote: bool = False) -> Submission:
        """The items of a form, and the files they name.

        Args:
            form: of the submission.
            quote: it may come without files beside the table.

        Raises:
            APIError: something can't be used; the message says in which item, or on which line of the table.
        """
        contents = _single(form)
        listed = bool(form.texts.get("items", "").strip())
        sheet = None if listed else contents.pop(table.PART, None)
        packed: Archive | None = None
        if archive.PART in contents and (not listed or contents[archive.PART].startswith(ZIP)):
            packed = Archive(contents.pop(archive.PART), self._limits)
        files = SubmittedFiles(contents, packed, absent=quote and not contents and packed is None)
        products = _listed(form.texts.get("items", "")) if sheet is None else _tabled(sheet)
        items = self._items(products, form.texts, files)
        files.check_all_named()
        return Submission(items, files.inputs, files.unnamed)

    def _items(self, products: Iterable[_Product], texts: Mapping[str, str], files: SubmittedFiles) -> list[JobItem]:
        shared = {name: text for name, text in texts.items() if name not in OF_THE_JOB}
        variants = read_variants(texts, KNOWN)
        sized = bool(texts.get("sizes", "").strip())
        if sized and shared.get("size"):
            raise bad_request("size and sizes are both given; keep one", "sizes")
        items: list[JobItem] = []
        images = 0
        for product in products:
            drawn = secrets.randbelow(2**32)  # its variants differ by style and size alone
            for variant in variants:
                try:
                    fields = _fields(product.fields, sized=sized)
                    item = self._item(
                        len(items), {"seed": drawn, **given({**shared, **fields, **variant.fields})}, files
                    )
                except APIError as error:
                    place = product.place if variant.style is None else f"{product.place}, style {variant.style}"
                    param = f"{product.param}.{error.param}" if error.param else product.param
                    raise bad_request(f"{place}: {error.message}", param, error.code) from None
                items.append(item.model_copy(update={"style": variant.style}))
                images += item.candidates
                if images > self._limits.max_job_pictures:
                    most = self._limits.max_job_pictures
                    raise bad_request(f"a job paints at most {most} pictures; send several", product.part)
        return items

    def _item(self, index: int, fields: dict[str, Any], files: SubmittedFiles) -> JobItem:
        """An item whose fields all say something."""
        names = {part: fields.pop(part, None) for part in PARTS}
        if names["image"] is None:
            raise bad_request("image is missing; name the file of the product's picture", "image")
        numbers = {part: None if name is None else files.number(part, name) for part, name in names.items()}
        if numbers["reference"] is not None and not self._rules.generators.personality:
            raise bad_request("a reference needs a server with generators.personality; leave it out", "reference")
        request = parse(fields)
        params = resolve(request, self._rules)
        image = numbers["image"]
        assert image is not None
        return JobItem(
            index=index,
            ask=request.model_copy(update={"max_candidates": None if params.accept == "any" else params.most}),
            image=image,
            mask=numbers["mask"],
            reference=numbers["reference"],
            size=_size(request, params.shape),
            work=work(*self._canvas(params.shape), params.steps, params.guidance),
        )

    def _canvas(self, shape: Shape | AutoShape) -> Size:
        """The size that is painted; where that follows a picture, about as many pixels."""
        if isinstance(shape, Shape):
            return shape.canvas
        return Size(self._rules.image.resolution, self._rules.image.resolution)


def _size(request: EditRequest, shape: Shape | AutoShape) -> str:
    """The label of an item's size: that of its files, as far as it is known."""
    if isinstance(shape, Shape) and len(shape.frames) == 1:
        return str(shape.frames[0].output)
    return request.size if isinstance(shape, AutoShape) else str(shape.canvas)


def _fields(content: Any, *, sized: bool) -> dict[str, Any]:
    """A product's own fields; null: as the form says, an empty text overrides it."""
    if not isinstance(content, dict):
        raise bad_request(EXAMPLE, None)
    check_texts(content)
    fields = given(content, known=content)
    if "name" in fields:
        fields["prompt"] = fields.pop("name")
    if sized and fields.get("size"):
        raise bad_request("it has a size, and sizes has them for all; keep one", "size")
    return fields


def _single(form: Form) -> dict[str, bytes]:
    """The form's files, each name given once."""
    for name, contents in form.files.items():
        if len(contents) > 1:
            raise bad_request(f"{len(contents)} files are named {short(name)}; give each its own name", short(name))
    return {name: contents[0] for name, contents in form.files.items()}


def _listed(text: str) -> Iterator[_Product]:
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        raise bad_request(EXAMPLE, "items") from None
    if not isinstance(items, list) or not items:
        raise bad_request(EXAMPLE, "items")
    for index, fields in enumerate(items):
        yield _Product("items", f"items[{index}]", f"items[{index}]", fields)


def _tabled(content: bytes) -> Iterator[_Product]:
    for row in read_table(content, KNOWN):
        yield _Product(table.PART, f"table line {row.line}", table.PART, row.fields)
