"""The card of a data set: what people, the Hub and `datasets` read from it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import datasets
import pytest
import yaml

from p2i_ray.data import card, checksums, writing
from p2i_ray.data.card import Facts
from p2i_ray.data.schema import INGESTED
from p2i_ray.data.sources.tasks import IngestConfig
from tests.support.epbd_row import row


def facts(**changes: object) -> Facts:
    found = Facts(
        source="/home/mia/photos",
        names="s3://key:secret@bucket/lists/products.csv?X-Amz-Signature=abc",
        rows=5,
        splits={"train": 2, "validation": 0, "test": 1},
        without_scene=1,
        products=2,
        rejected={"file missing": 2},
        settings={"ingest": IngestConfig().model_dump(mode="json"), "seed": 7},
        checksums=[checksums.Checksum("train/part-1.parquet", "ab" * 32, 1234)],
    )
    return found._replace(**changes)


def front_matter(text: str) -> dict:
    found = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def test_counts_sources_and_what_is_left_to_fill_in() -> None:
    text = card.text("mugs", facts())
    assert front_matter(text)["license"] == "unknown" and front_matter(text)["size_categories"] == ["n<1K"]
    assert "| train | 2 |\n| test | 1 |\n" in text and "validation" not in text.split("## Settings")[0]
    assert "3 rows of 2 products. 1 of them" in text and "| file missing | 2 |" in text
    assert "`photos`, products listed in `products.csv`: 5 rows" in text
    assert text.count("To be filled in by the owner") == 2
    assert "1 Parquet files and lists, 1,234 bytes" in text
    listed = f"{'ab' * 32}  train/part-1.parquet\n"
    assert hashlib.sha256(listed.encode()).hexdigest() in text
    settings = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert settings["seed"] == 7 and settings["ingest"]["split"]["test"] == 0.04


def test_no_path_and_no_key_gets_into_it() -> None:
    cutter = {"cutter": {"model": "/home/mia/models/isnet.onnx"}, "cleaning": {"people_model": "s3://a:b@c/detr/"}}
    text = card.text("mugs", facts(settings={"ingest": cutter}))
    assert "model: isnet.onnx\n" in text and "people_model: detr\n" in text
    assert not [word for word in ("mia", "secret", "Signature", "a:b", "bucket") if word in text]


@pytest.mark.parametrize("hostile", ["</table><script>x</script>", "a|b", "`x`\n# Head", "[a](javascript:b)", "---"])
def test_texts_of_the_user_stay_text(hostile: str) -> None:
    text = card.text(
        hostile, facts(source=f"/x/{hostile}", rejected={hostile: 1}, settings={"seed": f"{hostile}\n```\n"})
    )
    assert front_matter(text)["pretty_name"] == hostile
    outside = "".join(text.split("---\n", 2)[2].split("`")[::2])
    assert not [sign for sign in ("<script", "](", "\n# Head") if sign in outside]
    assert text.count("```") == 3  # the block's two, and those inside one of its lines
    assert sum(line.startswith("```") for line in text.splitlines()) == 2


def test_size_categories_are_the_hubs() -> None:
    for rows, name in ((999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (1_000_000, "1M<n<10M")):
        assert front_matter(card.text("x", facts(splits={"train": rows})))["size_categories"] == [name]


def test_datasets_reads_the_splits_from_it(tmp_path: Path) -> None:
    data = tmp_path / "mugs"
    writing.write_shard([row("a", "Mug"), row("b", "Cup")], str(data / "train"), INGESTED)
    writing.write_shard([row("c", "Lamp", scene=False)], str(data / "test"), INGESTED)
    (data / "ingest.json").write_text("{}")
    location, _ = card.write(str(data), facts(splits={"train": 2, "test": 1}))
    assert location == str(data / "README.md")
    loaded = datasets.load_dataset(str(data), cache_dir=str(tmp_path / "cache"))
    assert {split: part["id"] for split, part in loaded.items()} == {"train": ["a", "b"], "test": ["c"]}
    assert loaded["train"][0]["image"].size == (16, 16) and loaded["test"][0]["image"] is None


def test_a_card_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("license: mine")
    assert card.write(str(tmp_path), facts(), ours="abc") == (str(tmp_path / "README.new.md"), "abc")
    assert (tmp_path / "README.md").read_text() == "license: mine"


def test_a_card_that_nobody_filled_in_is_written_anew(tmp_path: Path) -> None:
    location, ours = card.write(str(tmp_path), facts())
    again = facts(splits={"train": 777})
    assert card.write(str(tmp_path), again, ours)[0] == location
    assert "777" in Path(location).read_text("utf-8")
