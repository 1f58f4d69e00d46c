"""The schema of EPBD. A sample is (C, P, I): the product's cutout, its name, and the picture with a background.

On disk: `<data>/{train,validation,test,test_unseen}/*.parquet`. Images are Hugging Face image structs, so that
`datasets.load_dataset("parquet", …)` shows pictures. A cutout that came without a scene is a row whose `image` is null:
it is painted and tested, never trained on, and lies in no training split. Rows that could
not become samples: `<data>/rejected/*.parquet`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pyarrow as pa

SPLITS: tuple[str, ...] = ("train", "validation", "test", "test_unseen")
REJECTED = "rejected"
EXAMPLES = "rejected_examples"  # small pictures of some of those rows
PAIRS = "pairs.json"  # which of the rows are pairs, see pair_list
RECORD = "ingest.json"  # the outcome of the last ingestion, and the settings that it used

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

# Figures of the cutout, which `ingest` adds (see cutouts/quality.py); other writers' folders need not have them.
QUALITY = pa.struct(
    [
        ("source", pa.string()),
        *((name, pa.float32()) for name in ("coverage", "border", "holes", "thin")),
        *((name, pa.float32()) for name in ("disagreement", "confidence", "doubt")),
    ]
)

_FEATURES: dict[str, object] = {
    "id": {"dtype": "string", "_type": "Value"},
    "name": {"dtype": "string", "_type": "Value"},
    "category": {"dtype": "string", "_type": "Value"},
    "image": {"_type": "Image"},
    "cutout": {"_type": "Image"},
}

_QUALITY_FEATURES: dict[str, object] = {field.name: {"dtype": str(field.type), "_type": "Value"} for field in QUALITY}


def _metadata(features: Mapping[str, object]) -> dict[bytes, bytes]:
    """The columns' types for Hugging Face `datasets`, which show images then."""
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


# `image` alone may be null, but no field is marked non-nullable: `datasets` would then not know its own Image type.
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),  # unique over all splits
        pa.field("name", pa.string()),  # P, as a retailer lists it
        pa.field("category", pa.string()),
        pa.field("image", IMAGE),  # I, RGB, encoded; null: a cutout without a scene
        pa.field("cutout", IMAGE),  # C, RGBA of the image's size; its alpha is the product mask m
    ],
    metadata=_metadata(_FEATURES),
)

# What a task of ingest makes of a row.
MADE = SCHEMA.append(pa.field("quality", QUALITY)).with_metadata(_metadata({**_FEATURES, "quality": _QUALITY_FEATURES}))

# What ingest writes: also the product that a row shows. Rows with the same group are in one split.
INGESTED = MADE.append(pa.field("group", pa.string())).with_metadata(
    _metadata({**_FEATURES, "quality": _QUALITY_FEATURES, "group": _FEATURES["name"]})
)

# Columns that a folder may have beside them, for painting in another picture's style; no other job reads them.
REFERENCES = pa.schema(
    [
        pa.field("reference", IMAGE),  # a picture whose background's style is wanted
        pa.field("reference_cutout", IMAGE),  # RGBA of its size; its alpha is where the reference's own product is
    ]
)

REJECTED_SCHEMA = pa.schema([("id", pa.string()), ("source", pa.string()), ("reason", pa.string())])

EXAMPLES_SCHEMA = pa.schema(
    [("id", pa.string()), ("name", pa.string()), ("reason", pa.string()), ("image", IMAGE)],
    metadata=_metadata({**dict.fromkeys(("id", "name", "reason"), _FEATURES["name"]), "image": _FEATURES["image"]}),
)
