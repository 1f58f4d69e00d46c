"""RapidOCR, really, on drawn text."""

from __future__ import annotations

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont

from p2i_ray.data.cleaning.text import TextCover


def test_text_is_found_where_it_is_and_nowhere_else() -> None:
    picture = Image.new("RGB", (320, 320), (90, 140, 90))
    ImageDraw.Draw(picture).text((40, 60), "SALE 50 % OFF", fill="white", font=ImageFont.load_default(32))
    find = TextCover()
    cover = find(np.asarray(picture))
    assert cover.shape == (320, 320) and set(np.unique(cover)) == {0, 255}
    rows, columns = np.nonzero(cover)
    assert 50 < rows.min() < rows.max() < 110 and 25 < columns.min() < columns.max() < 300
    assert cover[80, 150] == 255
    assert not find(np.full((64, 96, 3), 120, np.uint8)).any()
    assert not find(skimage.data.coffee()).any()  # the detector alone takes its saucer for a figure
