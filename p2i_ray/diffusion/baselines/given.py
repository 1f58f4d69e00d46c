"""Pictures that another program painted, named after the rows' ids: they are taken as they are, to be measured.

Metrics of backgrounds cut the product out where its cutout has it, so the pictures must have it in place. Nothing is
put back here: what the program did to the product is measured, too (product_unchanged, product_expansion).
"""

from __future__ import annotations

import logging
import posixpath
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data import reading
from p2i_ray.data.images import ImageError, Pixels, decode
from p2i_ray.data.sources.file_index import PICTURE
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations

if TYPE_CHECKING:
    from p2i_ray.diffusion.sampling.sampler import SamplerOptions

SHOWN = 3  # names in a message
OPAQUE = 255
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GivenRequest(PaintRequest):
    """A request whose picture is there.

    Attributes:
        picture: (H, W, 3) uint8, in the size of the mask.
    """

    picture: Pixels | None = None


@dataclass(frozen=True)
class GivenPictures:
    """The pictures of a folder: a sampling.painting_method.PaintingMethod.

    Attributes:
        folder: its location.
        files: paths below it by id.
    """

    folder: str
    files: Mapping[str, str] = field(repr=False)
    name: str = "given"
    columns: tuple[str, ...] = ()
    written: tuple[str, ...] = ()

    @property
    def parts(self) -> list[str]:
        """See PaintingMethod."""
        return []

    def made_with(self) -> dict[str, Any]:
        """See PaintingMethod; the folder is the model, whose files' states are compared."""
        return {"method": self.name}

    def anywhere(self) -> GivenPictures:
        """See PaintingMethod."""
        return self

    def check(self, model: str, image: ImageConfig) -> None:
        """See PaintingMethod; `of_folder` has looked."""

    def request(self, plain: PaintRequest, row: Mapping[str, Any], image: ImageConfig) -> PaintRequest:
        """See PaintingMethod; a row without a picture of its shape is set aside."""
        file = self.files.get(row["id"])
        if file is None:
            raise ImageError(f"{self.folder} has no picture of it")
        from p2i_ray.diffusion.model.preprocess import size_of  # with torch, which the driver has no need of

        found = decode(locations.read_bytes(locations.join(self.folder, file)), image)
        height, width = plain.mask.shape
        try:
            is_alike = size_of(found.width, found.height, image) == (width, height)
        except ImageError:
            is_alike = False
        if not is_alike:
            raise ImageError(
                f"{file} has {found.width}x{found.height} pixels, another shape than its cutout ({width}:{height})"
            )
        if found.mode == "RGBA" and np.asarray(found)[..., 3].min() < OPAQUE:
            raise ImageError(f"{file} is transparent")
        picture = np.asarray(found.convert("RGB").resize((width, height), Image.Resampling.LANCZOS))
        return GivenRequest(**plain.__dict__, picture=picture)

    def notes(self, row: Mapping[str, Any]) -> dict[str, str | None]:
        """See PaintingMethod."""
        return {}

    def load(self, model: str, options: SamplerOptions) -> GivenPictures:
        """See PaintingMethod; it is its own loaded method."""
        return self

    def paint(self, requests: Sequence[PaintRequest]) -> list[Pixels]:
        """The pictures as they are."""
        pictures = [request.picture for request in requests if isinstance(request, GivenRequest)]
        return [picture for picture in pictures if picture is not None]


def of_folder(folder: str, data: str, split: str) -> GivenPictures:
    """The pictures of a split in a folder: an id's is ID.png (.jpg, .webp, …), ids with / in folders below.

    An id that is the name of a file, as mug.jpg, may also be that of its picture. Says which ids have none.

    Raises:
        UserError: it is no folder, rows have no id or the same, no id has a picture, or one has several.
    """
    reading.check_ids(data, split)
    if locations.kind(folder) != "directory":
        raise UserError(f"model={folder} is no folder that is there; method=given takes pictures from it, named ID.png")
    ids = [id_ for file in reading.split_files(data, split) for id_ in reading.ids_of(file)]
    wanted, files = {_spelled(id_): id_ for id_ in ids}, dict[str, str]()
    others = list[str]()
    for name in sorted(filter(PICTURE.search, folders.files_below(folder))):
        id_ = wanted.get(_spelled(name)) or wanted.get(_spelled(posixpath.splitext(name)[0]))
        if id_ is None:
            others.append(name)
        elif id_ in files:
            raise UserError(f"model={folder} has {files[id_]} and {name}, two pictures of one id; leave one there")
        else:
            files[id_] = name
    if not files:
        there = f"it has {_some(others)}" if others else "it has no picture"
        raise UserError(
            f"model={folder} has no picture that is named after an id of {split} ({_some(ids)}), such as {ids[0]}.png; "
            f"{there}"
        )
    if lacking := [id_ for id_ in ids if id_ not in files]:
        log.warning(
            "%s has no picture of %d of %d products, which are left out: %s",
            folder,
            len(lacking),
            len(ids),
            _some(lacking),
        )
    return GivenPictures(folder, files)


def _spelled(name: str) -> str:
    """A name with each letter in one character: macOS writes umlauts in two."""
    return unicodedata.normalize("NFC", name)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
