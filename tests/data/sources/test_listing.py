"""Lists of products as shops export them: what is taken, what is set aside, and what stops the job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from p2i_ray.data.sources import delimited, listing
from p2i_ray.data.sources.file_index import FileIndex
from p2i_ray.data.sources.rows import id_of, to_table
from p2i_ray.errors import UserError

PHOTOS = ("a/b.jpg", "c.jpg", "pan.jpg", "jug.jpg", "Mug, blue.jpg")
TWO = [("pan.jpg", "Tasse grün", "Küche"), ("jug.jpg", "Krug", "Küche")]
TABLE = [("file", "name", "category"), *TWO]


def read(folder: Path, content: str | bytes, category: str = "") -> list[dict[str, Any]]:
    content = content if isinstance(content, bytes) else content.encode()
    index = FileIndex(dict(zip(PHOTOS, PHOTOS, strict=True)), str(folder))
    return to_table(listing.read(content, "names.csv", index, category)).to_pylist()


def shown(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    assert not [row["reason"] for row in rows if row["reason"]]
    return [(row["file"], row["name"], row["category"]) for row in rows]


def test_columns_in_any_order_with_a_mark_and_others_ignored(tmp_path: Path) -> None:
    text = '\ufeffprice,Category,name,file\n9,Cup,"Mug, blue ☕",a/b.jpg\n\n8,Cup,  Mug \t red ,./c.jpg\n'
    rows = read(tmp_path, text)
    assert shown(rows) == [("a/b.jpg", "Mug, blue ☕", "Cup"), ("c.jpg", "Mug red", "Cup")]
    assert [row["origin"] for row in rows] == ["line 2", "line 4"]
    assert rows[0]["id"] == id_of("a/b.jpg") and len({row["id"] for row in rows}) == 2


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_separator_encoding_and_end_of_line(tmp_path: Path, separator: str, encoding: str, end: str) -> None:
    lines = [separator.join(row) for row in TABLE]
    assert shown(read(tmp_path, end.join(lines).encode(encoding))) == TWO
    assert shown(read(tmp_path, end.join([f"sep={separator}", *lines, ""]).encode(encoding))) == TWO
    expected = {"cp1252": "Windows-1252"}.get(encoding, "UTF-16" if "16" in encoding else "UTF-8")
    assert delimited.decode(end.join(lines).encode(encoding), "names.csv")[1] == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('file,name,category\npan.jpg,"12" pan",Home\n', '12" pan'),
        ('file,name,category\npan.jpg,12" pan,Home\n', '12" pan'),
        ('file;name;category\npan.jpg;"12"" pan";Home\n', '12" pan'),
        ('"file";"name";"category"\n"pan.jpg";"Mug; blue";"Home"\n', "Mug; blue"),
        ("file,name,category\n'pan.jpg','Mug, blue','Home'\n", "Mug, blue"),
        ("file,name,category,,\npan.jpg,Mug,Home,,\n", "Mug"),
        (f'file,name,category,Body (HTML)\npan.jpg,Mug,Home,"{"<p>x</p>" * 40000}\n"\n', "Mug"),
        (
            "file,name,category\npan.jpg,<b>Mug</b> &amp;amp; Jug<br>&quot;Élan&quot; &lt; 5&nbsp;cm,Home\n",
            'Mug & Jug "Élan" < 5 cm',
        ),
    ],
)
def test_quotes_commas_and_html(tmp_path: Path, text: str, name: str) -> None:
    between = ";" if ";" in text.splitlines()[0] else ","
    text += between.join(("jug.jpg", "Krug", "Küche"))
    assert shown(read(tmp_path, text)) == [("pan.jpg", name, "Home"), ("jug.jpg", "Krug", "Küche")]


SHOPIFY = """Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Image Src,Image Position
mug,Mug,<p>m</p>,V,Home,Mugs,a,https://cdn.example.com/s/files/pan.jpg?v=1723,1
mug,,,,,,,jug.jpg,2
cup,Cup,,V,,Cups,,c.jpg,1
"""
WOOCOMMERCE = """ID,Type,SKU,Name,Visibility in catalog,Categories,Images,Parent
7,simple,a,Mug,visible,Home,"pan.jpg, jug.jpg",
8,simple,b,Cup,visible,Home,"Mug, blue.jpg",
9,variation,c,Cup,visible,Home,c.jpg,b
"""
MAGENTO = """sku,name,categories,base_image,additional_images
a,Mug,Home,/pan.jpg,"/jug.jpg,/c.jpg"
"""
GOOGLE = """id\ttitle\timage_link\tproduct_type\titem_group_id\tadditional_image_link
1\tMug\tpan.jpg\tHome\ta\tjug.jpg
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            SHOPIFY,
            [
                ("pan.jpg", "Mug", "Home", "mug", id_of("pan.jpg")),
                ("jug.jpg", "Mug", "Home", "mug", id_of("jug.jpg")),
                ("c.jpg", "Cup", "Cups", "cup", id_of("c.jpg")),
            ],
        ),
        (
            WOOCOMMERCE,
            [
                ("pan.jpg", "Mug", "Home", "a", "7"),
                ("jug.jpg", "Mug", "Home", "a", "7-2"),
                ("Mug, blue.jpg", "Cup", "Home", "b", "8"),
                ("c.jpg", "Cup", "Home", "b", "9"),
            ],
        ),
        (
            MAGENTO,
            [(file, "Mug", "Home", "a", id_of(file)) for file in ("pan.jpg", "jug.jpg", "c.jpg")],
        ),
        (GOOGLE, [("pan.jpg", "Mug", "Home", "a", "1"), ("jug.jpg", "Mug", "Home", "a", "1-2")]),
    ],
)
def test_exports_of_shop_systems(tmp_path: Path, text: str, expected: list[tuple[str, ...]]) -> None:
    rows = read(tmp_path, text)
    assert not [row["reason"] for row in rows if row["reason"]]
    assert [tuple(row[c] for c in ("file", "name", "category", "group", "id")) for row in rows] == expected


URLS = [f"https://cdn.example.com/w_800,h_800/{file}" for file in ("pan.jpg", "jug.jpg", "c.jpg")]


@pytest.mark.parametrize(
    "cell",
    [
        ", ".join(URLS),
        ",".join(f"{url}?v={n}" for n, url in enumerate(URLS)),
        " ".join(URLS),
        ";".join(["", *URLS, ""]),
        "https://cdn.example.com/pan.jpg|jug.jpg|c.jpg",
    ],
)
def test_each_url_of_a_cell_is_a_picture(tmp_path: Path, cell: str) -> None:
    rows = read(tmp_path, f'ID,Name,Categories,Images\n7,Mug,Home,"{cell}"\n8,Pot,Home,"https://x.com/w_8,h_8/b.jpg"\n')
    assert shown(rows) == [(file, "Mug", "Home") for file in ("pan.jpg", "jug.jpg", "c.jpg")] + [
        ("a/b.jpg", "Pot", "Home")
    ]
    assert [row["id"] for row in rows] == ["7", "7-2", "7-3", "8"]


@pytest.mark.parametrize("kind", ["mask", "cutout"])
@pytest.mark.parametrize("several", ["pan.jpg|jug.jpg", "pan.jpg, jug.jpg"])
def test_a_mask_or_cutout_is_of_its_own_photo(tmp_path: Path, kind: str, several: str) -> None:
    def found(given: str) -> list[tuple[str, str | None, str | None]]:
        rows = read(tmp_path, f'file,name,category,{kind}\n"{several}",Mug,Cup,"{given}"\n')
        return [(row["file"], row[kind], row["reason"]) for row in rows]

    assert found("c.jpg") == [("pan.jpg", "c.jpg", None), ("jug.jpg", None, None)]
    assert found("c.jpg; a/b.jpg") == [("pan.jpg", "c.jpg", None), ("jug.jpg", "a/b.jpg", None)]
    why = f"bad {kind}: 3 for 2 photos; give one for each in their order, or the first's alone"
    assert [reason for *_, reason in found("c.jpg,a/b.jpg,pan.jpg")] == [why, why]
    [first, second] = read(tmp_path, f"image,image2,name,category,{kind}\npan.jpg,jug.jpg,Mug,Cup,c.jpg\n")
    assert (first[kind], second[kind]) == ("c.jpg", None)


def test_several_cutouts_without_photos_are_several_rows_of_a_product(tmp_path: Path) -> None:
    rows = read(tmp_path, "cutout,name,category\npan.jpg|jug.jpg,Mug,Cup\n")
    assert [(row["file"], row["cutout"], row["group"]) for row in rows] == [
        ("", "pan.jpg", "pan.jpg"),
        ("", "jug.jpg", "pan.jpg"),
    ]


def test_several_photos_of_a_line_without_id_are_one_product(tmp_path: Path) -> None:
    rows = read(tmp_path, 'file,name,category\n"pan.jpg,jug.jpg",Sofa,Sofa\n"c.jpg,a/b.jpg",Sofa,Sofa\n')
    assert [row["group"] for row in rows] == ["pan.jpg", "pan.jpg", "c.jpg", "c.jpg"]


def test_photos_of_a_products_id_are_numbered_over_its_lines(tmp_path: Path) -> None:
    text = 'product_id,image,name,category\n17,pan.jpg,Mug,Cup\n18,c.jpg,Jug,Cup\n17,"jug.jpg,a/b.jpg",Mug,Cup\n'
    rows = read(tmp_path, text)
    assert [(row["id"], row["group"], row["reason"]) for row in rows] == [
        ("17", "17", None),
        ("18", "18", None),
        ("17-2", "17", None),
        ("17-3", "17", None),
    ]


def test_a_category_for_rows_that_have_none(tmp_path: Path) -> None:
    assert shown(read(tmp_path, "file_name,text\npan.jpg,Mug\n", "Home")) == [("pan.jpg", "Mug", "Home")]
    assert shown(read(tmp_path, "file,name,category\npan.jpg,Mug,\n", "Home")) == [("pan.jpg", "Mug", "Home")]


def test_ids_are_taken_where_given(tmp_path: Path) -> None:
    rows = read(tmp_path, "id,file,name,category\nA/1,pan.jpg,Mug,Cup\n,jug.jpg,Mug,Cup\n")
    assert [r["id"] for r in rows] == ["A/1", id_of("jug.jpg")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",Mug,Cup", "empty file"),
        ("a.jpg, ,Cup", "empty name"),
        ("a.jpg,<br>&nbsp;,Cup", "empty name"),
        ("a.jpg,Mug,", "empty category"),
        ("a.jpg,Mug", "bad row: 2 fields"),
        ("a.jpg,Mug, blue,Cup", "bad row: 4 fields"),
        (f"a.jpg,{'x' * 10_000},Cup", "name too long: 10000 characters"),
        ("../a.jpg,Mug,Cup", "outside the folder"),
        ("x/../../a.jpg,Mug,Cup", "outside the folder"),
        ("..,Mug,Cup", "outside the folder"),
        ("/etc/passwd,Mug,Cup", "outside the folder"),
        ("https://example.com/a.jpg,Mug,Cup", "outside the folder: a URL, and nothing is fetched"),
        ("file:///etc/passwd,Mug,Cup", "outside the folder"),
        ("simplecache::s3,Mug,Cup", "outside the folder"),
        ("a\0.jpg,Mug,Cup", "unreadable"),
    ],
)
def test_rows_that_are_set_aside(tmp_path: Path, row: str, reason: str) -> None:
    (found,) = read(tmp_path, f"file,name,category\n{row}\n")
    assert found["reason"].startswith(reason) and found["id"]


def test_an_id_with_control_characters_is_set_aside(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "id,file,name,category\na\x07b,a.jpg,Mug,Cup\n")
    assert row["reason"].startswith("bad id")


def test_the_first_good_row_of_a_file_or_id_stays(tmp_path: Path) -> None:
    text = "id,file,name,category\n1,a.jpg,,Cup\n1,a.jpg,Mug,Cup\n2,./a.jpg,Mug,Cup\n1,b.jpg,Mug,Cup\n2,c.jpg,Mug,Cup\n"
    kinds = [str(r["reason"]).split(":")[0] for r in read(tmp_path, text)]
    assert kinds == ["empty name", "None", "duplicate file", "duplicate id", "None"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "lacks the column file, name, category; its first line has: nothing"),
        (b"file,name\na,b\n", "lacks the column category; .*; ingest.category=NAME gives all rows one"),
        (b"pan.jpg,Mug,Home\njug.jpg,Jug,Home\n", "looks like a row: put a line with the columns' names first"),
        (b'file,name,category\na.jpg,"Mug,Cup\n', "line 2: a quote"),
        (b'file,name,category\na.jpg,"Mug,Cup\nb.jpg,"Jug",Cup\n', "line 2: a quote"),
        (b'file,name,category\na.jpg,"Mug,Cup\nb.jpg,Jug,Cup\nc.jpg,x",Cup\n', "line 2: a quote .* holds whole rows"),
        (b"file,name,category\na.jpg,Tasse f\xfcr\x81 Tee,Cup\n", "neither UTF-8, UTF-16 nor Windows-1252"),
        (b"\xff\xfea", "neither UTF-8, UTF-16"),
        (b"PK\x03\x04workbook", "a workbook, not text; save the sheet as CSV"),
    ],
)
def test_what_stops_the_job_is_said_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value)
