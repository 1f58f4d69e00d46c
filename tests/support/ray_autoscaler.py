"""What Ray itself makes of the cluster files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import jsonschema
import ray.autoscaler


def filled_out(config: dict[str, Any]) -> dict[str, Any]:
    """A file of `ray up` with Ray's defaults for its cloud, valid by the schema that Ray comes with."""
    from ray.autoscaler.sdk import fillout_defaults

    filled = cast("dict[str, Any]", fillout_defaults(config))
    check(filled)
    return filled


def check(config: dict[str, Any]) -> None:
    """Raise jsonschema.ValidationError if Ray's schema of autoscaler settings doesn't hold."""
    schema = Path(ray.autoscaler.__file__).parent / "ray-schema.json"
    jsonschema.validate(config, json.loads(schema.read_text("utf-8")))


def from_raycluster(cluster: dict[str, Any]) -> dict[str, Any]:
    """The settings that the autoscaler beside Ray's head reads from a RayCluster.

    2.60.0: nothing public does that. Nothing else in tests/deploy names a private module of Ray.
    """
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr as derive

    return cast("dict[str, Any]", derive(cluster))
