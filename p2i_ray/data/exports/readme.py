"""README.md of an export, by which Hugging Face `datasets` knows its splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from p2i_ray.data.exports.records import WITHOUT_SCENE


def text(parts: Mapping[str, int], kind: str) -> str:
    """The README of an export of these parts (with their numbers of rows), a webdataset or an imagefolder.

    Rows without a scene are a configuration of their own: `datasets` gives all splits of one the columns of the first.
    """
    paths = {part: f"{part}-*.tar" if kind == "webdataset" else f"{part}/**" for part in parts}
    configs: dict[str, list[dict[str, str]]] = {}
    for part, path in paths.items():
        alone = part.endswith(WITHOUT_SCENE)
        line = {"split": part.removesuffix(WITHOUT_SCENE), "path": path}
        configs.setdefault(WITHOUT_SCENE.strip("_") if alone else "default", []).append(line)
    found: list[dict[str, Any]] = [{"config_name": name, "data_files": files} for name, files in configs.items()]
    rows = "\n".join(f"| `{part}` | `{paths[part].removesuffix('**')}` | {parts[part]:,} |" for part in parts)
    return f"""---
{yaml.safe_dump({"configs": found}, sort_keys=False)}---
# {kind}

Products, their cutouts, and photos with a background, exported by p2i_ray. Parts whose names end in `{WITHOUT_SCENE}`
have cutouts alone: there is no photo, and nothing to train a background on.

| part | files | rows |
|---|---|---|
{rows}
"""
