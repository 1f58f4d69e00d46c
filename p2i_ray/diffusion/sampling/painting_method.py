"""The interface of methods that paint: the sampler's, and any other's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import Pixels
from p2i_ray.data.schema import SCHEMA
from p2i_ray.diffusion.sampling.request import PaintRequest

if TYPE_CHECKING:
    from p2i_ray.diffusion.sampling.sampler import SamplerOptions


def columns_read(method: PaintingMethod) -> list[str]:
    """The columns of a split that a method paints from."""
    return list(dict.fromkeys([*SCHEMA.names, *method.columns]))


class Finish(Protocol):
    """Changes to a picture after its product was pasted; see compositing/finish.py."""

    def __call__(self, picture: Pixels, product: Pixels, mask: Pixels, /) -> tuple[Pixels, Done]:
        """The picture (H, W, 3), of a picture and a product (H, W, 3) and its mask (H, W); and what was done to it."""
        ...


class Done(Protocol):
    """A record of the changes to a picture."""

    def as_fields(self) -> dict[str, Any]:
        """JSON values by name; empty: nothing."""
        ...


class LoadedMethod(Protocol):
    """A method that is loaded."""

    def paint(self, requests: Sequence[PaintRequest]) -> list[Pixels]:
        """Paint a background around each of B products, whose own pixels are put back; B pictures (H, W, 3), uint8."""
        ...


class PaintingMethod(Protocol):
    """A method and what it needs, as it is handed to workers."""

    @property
    def name(self) -> str:
        """The name in a record of its pictures."""
        ...

    @property
    def parts(self) -> list[str]:
        """Locations of what is needed beside the model, which all nodes must reach."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """Columns that `request` reads of a row beside a sample's own."""
        ...

    def made_with(self) -> dict[str, Any]:
        """Facts of its pictures beside model, rows, and the settings of diffusion and generation; JSON values."""
        ...

    def anywhere(self) -> PaintingMethod:
        """The same with absolute places: workers have other working directories."""
        ...

    def check(self, model: str, image: ImageConfig) -> None:
        """Check all that can be checked without loading weights.

        Args:
            model: location of what it paints with.
            image: sizes of the pictures to paint.

        Raises:
            UserError: something is not there, or doesn't fit.
        """
        ...

    def request(self, plain: PaintRequest, row: Mapping[str, Any], image: ImageConfig) -> PaintRequest:
        """A row's request.

        Args:
            plain: with the row's product and name, and how it is painted.
            row: its id, name, category, cutout, and `columns`.
            image: limits of its pictures.

        Raises:
            ImageError: the row can't be painted.
        """
        ...

    @property
    def written(self) -> Sequence[str]:
        """Columns of text that are written for a painted row beside those of every method."""
        ...

    def notes(self, row: Mapping[str, Any]) -> dict[str, str | None]:
        """Values of the columns `written` for a row that `request` takes."""
        ...

    def load(self, model: str, options: SamplerOptions) -> LoadedMethod:
        """Load the method on this machine.

        Args:
            model: as for `check`.
            options: of the computation.

        Raises:
            UserError: it can't be loaded.
        """
        ...
