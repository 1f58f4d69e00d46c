"""The schema of EPBD. A sample is (C, P, I): the product's cutout, its name, and the picture with a background.

On disk: `<data>/{train,validation,test,test_unseen}/*.parquet`. Images are Hugging Face image structs, so that
`datasets.load_dataset("parquet", …)` shows pictures. A cutout that came without a scene is a row whose `image` is null:
it is painted and tested, never trained on, and lies in no training split. Rows that could
not become samples: `<data>/rejected/*.parquet`.
"""

from __future__ import annotations

import json

import pyarrow as pa

SPLITS: tuple[str, ...] = ("train", "validation", "test", "test_unseen")
REJECTED = "rejected"

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

_FEATURES = {
    "id": {"dtype": "string", "_type": "Value"},
    "name": {"dtype": "string", "_type": "Value"},
    "category": {"dtype": "string", "_type": "Value"},
    "image": {"_type": "Image"},
    "cutout": {"_type": "Image"},
}

# `image` alone may be null, but no field is marked non-nullable: `datasets` would then not know its own Image type.
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),  # unique over all splits
        pa.field("name", pa.string()),  # P, as a retailer lists it
        pa.field("category", pa.string()),
        pa.field("image", IMAGE),  # I, RGB, encoded; null: a cutout without a scene
        pa.field("cutout", IMAGE),  # C, RGBA of the image's size; its alpha is the product mask m
    ],
    metadata={b"huggingface": json.dumps({"info": {"features": _FEATURES}}).encode()},
)

# What ingest writes: also the product that a row shows. Rows with the same group are in one split.
GROUPED_SCHEMA = SCHEMA.append(pa.field("group", pa.string())).with_metadata(
    {b"huggingface": json.dumps({"info": {"features": _FEATURES | {"group": _FEATURES["name"]}}}).encode()}
)

REJECTED_SCHEMA = pa.schema([("id", pa.string()), ("source", pa.string()), ("reason", pa.string())])
