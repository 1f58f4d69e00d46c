"""Draw shapes with Pillow at twice the size; reduced afterwards, their edges are smooth."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from p2i_ray.mini.names import RGB

SIZE = 64  # px, of the finished picture
ZOOM = 2  # drawn at SIZE * ZOOM
Points = Sequence[tuple[float, float]]
Box = tuple[float, float, float, float]  # x0, y0, x1, y1


def shade(colour: RGB, factor: float) -> RGB:
    """Darken a colour (factor < 1), or lighten it towards white (factor > 1)."""
    red, green, blue = colour
    if factor <= 1:
        return int(red * factor), int(green * factor), int(blue * factor)
    return int(255 - (255 - red) / factor), int(255 - (255 - green) / factor), int(255 - (255 - blue) / factor)


class Pen:
    """Draws in picture coordinates (0..64, y down) or, with a scale, in a product's own (y up from the floor)."""

    def __init__(self, canvas: Image.Image, centre: float = 0, floor: float = 0, scale: float = 0) -> None:
        self._draw = ImageDraw.Draw(canvas)
        self._place = (centre, floor, scale)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        centre, floor, scale = self._place
        if scale:
            x, y = centre + x * scale, floor - y * scale
        return x * ZOOM, y * ZOOM

    def _box(self, box: Box) -> Box:
        (ax, ay), (bx, by) = self._at(*box[:2]), self._at(*box[2:])
        return min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)

    def rect(self, box: Box, fill: RGB | int) -> None:
        """Draw a rectangle."""
        self._draw.rectangle(self._box(box), fill=fill)

    def round(self, box: Box, radius: float, fill: RGB | int) -> None:
        """Draw a rectangle with round corners."""
        self._draw.rounded_rectangle(self._box(box), radius * (self._place[2] or 1) * ZOOM, fill=fill)

    def oval(self, box: Box, fill: RGB | int) -> None:
        """Draw an ellipse."""
        self._draw.ellipse(self._box(box), fill=fill)

    def half(self, box: Box, fill: RGB | int, start: float = 180, end: float = 360) -> None:
        """Draw a sector of an ellipse, between two angles in degrees."""
        self._draw.pieslice(self._box(box), start, end, fill=fill)

    def poly(self, points: Points, fill: RGB | int) -> None:
        """Draw a polygon."""
        self._draw.polygon([self._at(x, y) for x, y in points], fill=fill)

    def line(self, points: Points, fill: RGB | int, width: float = 1) -> None:
        """Draw a line through points."""
        pixels = max(1, round(width * (self._place[2] or 1) * ZOOM))
        self._draw.line([self._at(x, y) for x, y in points], fill=fill, width=pixels, joint="curve")
