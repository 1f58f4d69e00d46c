"""From a product's files to its sample: what wins, what is filled, and what is set aside."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data.cutouts.onnx_network import OnnxCutter
from p2i_ray.data.cutouts.settings import CutoutConfig, CutterConfig
from p2i_ray.data.images import ImageError, Pixels, encode_png
from p2i_ray.data.sources.samples import Files, Sample, make_sample, make_samples
from tests.support.photos import photo
from tests.support.tiny_cutters import write_onnx

IMAGE = ImageConfig(resolution=64)
PHOTO = CutoutConfig(clear_pixels="photo")
RED = (200, 60, 40)
NOISE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
LEFT = np.zeros((64, 64), np.uint8)  # a mask: the product is what lies right of column 32
LEFT[:, 32:] = 255


def made(photo: bytes, settings: CutoutConfig | None = None, **more: bytes) -> Sample:
    return make_sample(Files(photo, **more), settings or CutoutConfig(), IMAGE)


def ball(radius: int = 20, soft: int = 0) -> Pixels:
    """A red ball on a canvas that is clear and black elsewhere; a rim of `soft` pixels is half transparent."""
    y, x = np.mgrid[:64, :64]
    distance = np.hypot(x - 31.5, y - 31.5)
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[distance < radius + soft] = (*RED, 128)
    pixels[distance < radius] = (*RED, 255)
    return pixels


def test_a_cutout_has_no_scene_and_no_black_in_it() -> None:
    cutout, picture, _ = made(encode_png(ball(soft=2)))
    assert picture is None
    assert (cutout[..., :3] == RED).all()
    assert np.array_equal(cutout[..., 3], ball(soft=2)[..., 3])


def test_the_smallest_share_of_clear_pixels_makes_a_cutout() -> None:
    book = np.full((64, 64, 4), (*RED, 255), np.uint8)
    book[0, 0] = book[-1, -1] = 0
    cutout, picture, _ = made(encode_png(book))
    assert picture is None and (cutout[..., :3] == RED).all()
    assert cutout[0].max(axis=0)[3] == 0  # a margin, where the file had none
    assert abs((cutout[..., 3] >= 128).mean() - (64 / 72) ** 2) < 0.03  # 64 and twice 5 %, each rounded up


def test_alpha_without_a_clear_pixel_is_a_photo() -> None:
    horse = photo("horse.png").read_bytes()  # its corners are half transparent
    cutout, _, quality = made(horse, CutoutConfig(max_disagreement=1))
    assert quality.source == "grabcut"
    assert 0.2 < (cutout[..., 3] >= 128).mean() < 0.4  # the horse, not the whole picture


def test_declared_the_clear_pixels_are_the_photo() -> None:
    cutout, picture, _ = made(encode_png(np.dstack([NOISE, LEFT])), PHOTO)
    assert picture is not None and np.array_equal(picture, NOISE)
    assert np.array_equal(cutout[..., 3], LEFT) and np.array_equal(cutout[:, 32:, :3], NOISE[:, 32:])


def test_without_a_word_they_are_filled_whatever_they_hold() -> None:
    cutout, picture, _ = made(encode_png(np.dstack([NOISE, ball()[..., 3]])))
    product = cutout[cutout[..., 3] == 255][:, :3]
    assert picture is None
    assert {tuple(colour) for colour in cutout[cutout[..., 3] == 0][:, :3]} <= {tuple(colour) for colour in product}


def test_what_is_declared_and_wiped_out_is_set_aside() -> None:
    with pytest.raises(ImageError, match=r"no scene: the clear pixels have one colour \(0, 0, 0\)"):
        made(encode_png(ball()), PHOTO)


def scene() -> Pixels:
    """The ball before green, its rim mixed with it."""
    alpha = ball(soft=2)[..., 3:] / 255
    return (np.array(RED) * alpha + np.array((0, 200, 0)) * (1 - alpha)).round().astype(np.uint8)


@pytest.mark.parametrize("kind", ["grey", "clear"])
def test_a_mask_file_wins_over_the_cutter_and_edges_are_the_products(kind: str) -> None:
    alpha = ball(soft=2)[..., 3]
    mask = encode_png(alpha if kind == "grey" else np.dstack([NOISE, alpha]))
    cutout, picture, _ = made(encode_png(scene()), mask=mask)
    assert picture is not None and np.array_equal(picture, scene())
    assert np.array_equal(cutout[..., 3], alpha)
    assert np.abs(cutout[..., :3].astype(int) - RED).max() <= 2


def test_a_mask_file_wins_over_alpha() -> None:
    cutout, picture, _ = made(encode_png(np.dstack([NOISE, 255 - LEFT])), PHOTO, mask=encode_png(LEFT))
    assert np.array_equal(cutout[..., 3], LEFT) and picture is not None


@pytest.mark.parametrize("turn", [3, 6, 8])
def test_a_mask_that_was_made_before_its_photo_was_turned_is_no_mask(turn: int) -> None:
    stored, mask = NOISE // 4 + 100, np.zeros((64, 64), np.uint8)
    mask[8:28, 12:40] = 255
    stored[mask > 0] = RED
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(stored).save(file, "PNG", exif=exif)
    upright = np.rot90(mask, {3: 2, 6: 3, 8: 1}[turn])
    found = made(file.getvalue(), mask=encode_png(np.ascontiguousarray(upright)))
    assert np.array_equal(found.cutout[..., 3], upright) and (found.picture[upright > 0] == RED).all()
    with pytest.raises(ImageError, match="bad mask: it fits the photo as it is stored, before EXIF turns it upright"):
        made(file.getvalue(), mask=encode_png(mask))


def test_a_mask_makes_no_product_of_what_a_cutout_has_cleared() -> None:
    whole = np.zeros((64, 64), np.uint8)
    whole[4:60, 4:60] = 255
    cutout, picture, quality = made(encode_png(ball()), mask=encode_png(whole))
    assert picture is None and quality.source == "mask"
    assert np.array_equal(cutout[..., 3], ball()[..., 3])


def test_a_cutout_file_brings_its_colours() -> None:
    dark = np.where(ball(soft=2)[..., 3:] > 0, np.uint8([120, 40, 30]), NOISE)  # the cutout was retouched
    cutout, picture, _ = made(encode_png(dark), cutout=encode_png(ball(soft=2)), mask=encode_png(LEFT))
    assert picture is not None and np.array_equal(picture, dark)
    assert (cutout[..., :3] == RED).all() and np.array_equal(cutout[..., 3], ball(soft=2)[..., 3])


def test_a_cutout_that_was_trimmed_is_not_stretched_over_its_photo() -> None:
    picture = NOISE // 2
    picture[36:56, 8:28] = RED
    trimmed = np.zeros((24, 24, 4), np.uint8)
    trimmed[2:22, 2:22] = (*RED, 255)
    with pytest.raises(ImageError, match="bad cutout: it shows something else than the photo at this place"):
        made(encode_png(picture), cutout=encode_png(trimmed))
    whole = np.zeros((64, 64, 4), np.uint8)
    whole[36:56, 8:28] = (*RED, 255)
    assert made(encode_png(picture), cutout=encode_png(whole)).picture is not None


def test_a_batch_goes_to_the_cutter_at_once_and_keeps_its_order(tmp_path: Path) -> None:
    """A network that takes red for product; its mirrored second cut doubts the third photo."""
    where = np.ones((64, 64))
    where[:, 56:] = 0  # blind there
    network = CutterConfig(
        kind="onnx",
        model=str(write_onnx(tmp_path / "red.onnx", side=64, where=where)),
        side=64,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        output="probabilities",
    )
    ball_photo = scene()
    edge, nothing = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    edge[16:48, 48:, 0] = 255
    batch = [encode_png(pixels) for pixels in (ball_photo, ball(), edge, nothing)]
    found = make_samples(
        [Files(batch[0]), ImageError("gone"), *map(Files, batch[1:])],
        OnnxCutter(network),
        settings=CutoutConfig(),
        image=IMAGE,
    )
    cut, gone, alone, doubted, none = found
    assert isinstance(cut, Sample) and isinstance(alone, Sample)
    assert cut.quality.source == "onnx" and cut.quality.disagreement == 0
    assert np.array_equal(cut.cutout[..., 3] >= 128, ball_photo[..., 0] >= 128)
    assert alone.quality.source == "alpha" and alone.picture is None
    assert str(gone) == "gone"
    assert str(doubted).startswith("poor cutout: two cuts of the photo differ by 50%")
    assert str(none).startswith("no product found: the network's surest pixel")


def test_a_masks_levels_are_no_colours() -> None:
    """A gamma chunk would make 158 of 100, and of clear pixels product."""
    whole = encode_png(np.where(LEFT > 0, 255, 100).astype(np.uint8))
    gamma = b"gAMA" + (100_000).to_bytes(4, "big")
    linear = whole[:33] + b"\0\0\0\4" + gamma + zlib.crc32(gamma).to_bytes(4, "big") + whole[33:]
    cutout = made(encode_png(NOISE), mask=linear).cutout
    assert np.array_equal(cutout[..., 3], np.where(LEFT > 0, 255, 100))


def test_a_mask_of_another_size_is_brought_to_the_photos() -> None:
    mask = np.asarray(Image.fromarray(LEFT).resize((32, 32)))
    assert np.array_equal(made(encode_png(NOISE), mask=encode_png(mask)).cutout[..., 3] >= 128, LEFT >= 128)


def test_a_mask_fits_its_photo_however_both_are_made_smaller() -> None:
    """A JPEG is decoded at an eighth and then halved, 163x204; its mask is reduced by 20, 130x164."""
    mask = Image.new("L", (2598, 3264))
    mask.paste(255, (600, 800, 1900, 2400))
    file = io.BytesIO()
    Image.new("RGB", mask.size, RED).save(file, "JPEG")
    quality = made(file.getvalue(), mask=encode_png(np.asarray(mask))).quality
    assert abs(quality.coverage - 1300 * 1600 / (2598 * 3264)) < 0.01


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"mask": encode_png(LEFT[:40])}, r"bad mask: .* \(64x40 pixels, the photo 64x64\)"),
        ({"mask": b"text"}, "bad mask: unreadable"),
        ({"mask": encode_png(255 - ball()[..., 3])}, "bad mask: its corners are white"),
        ({"mask": encode_png(0 * LEFT)}, "no product found"),
        ({"cutout": encode_png(NOISE)}, "bad cutout: nothing of the file is transparent"),
    ],
)
def test_masks_that_do_not_fit(more: dict[str, bytes], reason: str) -> None:
    with pytest.raises(ImageError, match=f"^{reason}"):
        made(encode_png(NOISE), **more)


def test_a_mask_of_another_shape_is_named_by_the_sizes_of_the_files() -> None:
    """Both are decoded at a third of these."""
    with pytest.raises(ImageError, match=r"another shape than its photo \(400x600 pixels, the photo 400x400\)"):
        made(encode_png(np.zeros((400, 400, 3), np.uint8)), mask=encode_png(np.zeros((600, 400), np.uint8)))


def test_a_product_without_surroundings_is_a_cutout_alone() -> None:
    mask = np.zeros((64, 200), np.uint8)
    mask[:, 20:180] = 255  # from edge to edge: a square would need 112 rows that nobody photographed
    cutout, picture, _ = made(encode_png(np.full((64, 200, 3), RED, np.uint8)), mask=encode_png(mask))
    assert picture is None and (cutout[..., :3] == RED).all()


@pytest.mark.parametrize(("clear", "says"), [(slice(0, 63), "covers 1.6%"), (slice(0, 64), "below one half")])
def test_products_that_are_too_small(clear: slice, says: str) -> None:
    alpha = np.full((64, 64), 255, np.uint8)
    alpha[:, clear] = 0
    with pytest.raises(ImageError, match=f"no product found: .*{says}"):
        made(encode_png(np.dstack([NOISE, alpha])), PHOTO)


def test_products_that_are_too_large_and_strips() -> None:
    alpha = np.full((64, 64), 255, np.uint8)
    alpha[:, :4] = 0
    with pytest.raises(ImageError, match=r"covers 93\.8% of the picture, outside"):
        made(encode_png(np.dstack([NOISE, alpha])), PHOTO)
    with pytest.raises(ImageError, match="no product found: 30000x3 pixels are a strip"):
        made(encode_png(np.zeros((3, 30_000, 3), np.uint8)))
