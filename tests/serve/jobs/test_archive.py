"""Zips of pictures: read by path, counted as they are decompressed, and nothing in them reaches outside."""

from __future__ import annotations

import io
import stat
import zipfile

import pytest

from p2i_ray.config.serve import LimitsConfig
from p2i_ray.serve.edge.errors import APIError
from p2i_ray.serve.jobs.archive import Archive, normal
from tests.support.orders import zipped

LIMITS = LimitsConfig(max_bytes=1_000, max_archive_bytes=2_500, max_archive_entries=5)


def refused(content: bytes, *read: str) -> str:
    with pytest.raises(APIError) as error:
        archive = Archive(content, LIMITS)
        for name in read:
            archive.read(name)
    assert error.value.param == "archive" and "\n" not in error.value.message
    return error.value.message


def entry(name: str, mode: int = 0, flags: int = 0) -> bytes:
    """A zip with one entry of a kind."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("placeholder")
        info.filename, info.external_attr = name, mode << 16
        archive.writestr(info, b"content")
    content = bytearray(out.getvalue())
    if flags:  # in the list at the end, which is what is read
        content[content.index(b"PK\x01\x02") + 8] |= flags
    return bytes(content)


def test_files_by_path() -> None:
    files = {"cup.png": b"cup", "photos/mug.png": b"mug", "photos/": b"", "./vase.png": b"vase"}
    hidden = {"__MACOSX/photos/._mug.png": b"x", ".DS_Store": b"x"}
    archive = Archive(zipped({**files, **{".DS_Store": b"x"}}), LIMITS)
    assert archive.names == ["cup.png", "photos/mug.png", "vase.png"]
    assert [archive.read(name) for name in archive.names] == [b"cup", b"mug", b"vase"]
    assert Archive(zipped(hidden), LIMITS).names == []


def test_paths_as_windows_writes_them() -> None:
    archive = Archive(entry("photos\\cup.png"), LIMITS)
    assert archive.names == ["photos/cup.png"] and archive.read("photos/cup.png") == b"content"
    assert Archive(entry("photos\\"), LIMITS).names == []
    assert normal(".\\photos\\cup.png") == "photos/cup.png"


def test_a_mac_writes_letters_in_two_parts_and_utf8_without_saying_so() -> None:
    decomposed, composed = "caf\u0065\u0301.png", "caf\u00e9.png"
    assert Archive(zipped({decomposed: b"x"}), LIMITS).names == [composed]
    content = zipped({"caf__.png": b"x"}).replace(b"caf__.png", composed.encode())  # the flag stays unset
    assert Archive(content, LIMITS).names == [composed]
    assert Archive(zipped({"caf_.png": b"x"}).replace(b"caf_.png", b"caf\x82.png"), LIMITS).names == [composed]  # cp437


@pytest.mark.parametrize("name", ["../cup.png", "photos/../../cup.png", "/etc/passwd", "C:/cup.png", "a\\..\\cup.png"])
def test_no_path_leads_outside(name: str) -> None:
    assert "doesn't lie below its root" in refused(entry(name))


def test_what_is_no_plain_file() -> None:
    assert "is no plain file" in refused(entry("cup.png", stat.S_IFLNK | 0o777))
    assert "is encrypted" in refused(entry("cup.png", flags=1))
    assert Archive(entry("cup.png", stat.S_IFREG | 0o644), LIMITS).read("cup.png") == b"content"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("cup.png", b"content")
    assert "compressed in a way that isn't read" in refused(out.getvalue())


def test_sizes_are_counted_as_they_are_read_and_not_believed() -> None:
    bomb = zipped({"cup.png": bytes(1_001)})
    assert "more than 1000 bytes" in refused(bomb, "cup.png")
    lying = bytearray(bomb)
    at = lying.index(b"PK\x01\x02") + 24
    lying[at : at + 4] = (5).to_bytes(4, "little")  # it says that it has five bytes
    refused(bytes(lying), "cup.png")
    three = zipped({name: bytes(1_000) for name in ("a", "b", "c")})
    assert "more than 2500 bytes" in refused(three, "a", "b", "c")
    Archive(three, LIMITS).read("a")
    assert "6 entries; at most 5" in refused(zipped({str(k): b"" for k in range(6)}))


def test_a_list_of_entries_that_is_too_long_is_refused_before_it_is_read() -> None:
    content = bytearray(zipped({"cup.png": b"x"}))
    end = content.index(b"PK\x05\x06")
    assert end == len(content) - 22
    large = content[:end] + content[end : end + 12] + (5 * 1_024 + 1).to_bytes(4, "little") + content[end + 16 :]
    assert "list of entries is too long" in refused(bytes(large))
    decoy = large[:-4] + b"PK\x05\x06"  # the end of the record looks as if another one began there
    assert "list of entries is too long" in refused(bytes(decoy))
    assert "without zip64" in refused(bytes(content[:end] + b"PK\x06\x07" + bytes(16) + content[end:]))
    assert normal("./" * 1_000_000 + "cup.png") == "cup.png"


def test_broken_ones() -> None:
    whole = zipped({"cup.png": bytes(range(250)) * 3})
    assert "no zip file" in refused(b"PK") and "no zip file" in refused(whole[:-10])
    broken = bytearray(whole)
    broken[60] ^= 0xFF
    assert "is broken" in refused(bytes(broken), "cup.png")
    with pytest.warns(UserWarning, match="Duplicate name"):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("cup.png", b"a")
            archive.writestr("cup.png", b"b")
    assert "is in it twice" in refused(out.getvalue())
