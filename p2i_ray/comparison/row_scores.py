"""Scores of training photos by something else than a judge: chance, CLIP's cosine with the name, looks.

Each is written as `idr.given_scores` reads it, id and score, stretched to 1..5: an arm that selects by it keeps a
number of rows, so only their order matters.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p2i_ray.cluster import placement, resources, root_cause
from p2i_ray.config import Config, EvaluateConfig, ImageConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError
from p2i_ray.storage import fingerprints, locations, parquet

if TYPE_CHECKING:
    import pyarrow as pa

FILE, PARTS = "scores.parquet", "values"
NOTE = "made-with.json"  # beside the file
# Settings of evaluate that a scorer depends on: places, and others.
PLACES = {"clip_score": ("clip",), "aesthetics": ("aesthetics", "aesthetics_clip")}
TEXTS = {"clip_score": ("text",)}
LOWEST, HIGHEST = 1.0, 5.0  # scores


def check(scorer: str, settings: EvaluateConfig) -> None:
    """Find before anything starts whether a scorer has its model.

    Raises:
        UserError: it has not.
    """
    from p2i_ray.evaluate import catalogue, scorers

    if scorer == "aesthetics":
        if settings.aesthetics is None:
            raise UserError("it needs evaluate.aesthetics, LAION's head; or choose colourfulness")
        scorers.check(catalogue.anywhere(settings), [scorer])


def write(scorer: str, data: str, out: str, *, config: Config) -> str:
    """Score the training split, unless that is done; returns the location of the file of scores.

    Args:
        scorer: random, clip_score, aesthetics or colourfulness.
        data: location of the EPBD folder.
        out: folder of the file.
        config: the settings; `random` depends on the seed alone.

    Raises:
        UserError: they are there, and were made with another model or text.
    """
    from p2i_ray.data import reading

    location, note = locations.join(out, FILE), locations.join(out, NOTE)
    asked = _made_with(scorer, config.evaluate)
    if locations.exists(location):
        before = json.loads(locations.read_text(note)) if locations.exists(note) else asked  # an older version's
        if others := [f"evaluate.{name}" for name in asked if before.get(name) != asked[name]]:
            raise UserError(
                f"{location}, by which an arm selects, was made with another {', '.join(others)}; change it back, or "
                "give another out"
            )
        return location
    if scorer == "random":
        ids = [id_ for file in reading.split_files(data, "train") for id_ in reading.ids_of(file)]
        values = np.array([seed_for(config.seed, "random", id_) for id_ in ids], np.float64)
    else:
        ids, values = _computed(scorer, data, locations.join(out, PARTS), config)
    locations.write_text(note, json.dumps(asked))
    parquet.write_table(_scores(ids, values), location)
    return location


def _made_with(scorer: str, settings: EvaluateConfig) -> dict[str, str]:
    """Facts that a scorer's values depend on besides the photos, by setting: of models their content's fingerprint."""
    places = {name: str(getattr(settings, name)) for name in PLACES.get(scorer, ())}
    files = {name: fingerprints.states(locations.absolute(place)) for name, place in places.items()}
    texts = {name: str(getattr(settings, name)) for name in TEXTS.get(scorer, ())}
    return {**{name: fingerprints.fingerprint(found, {}, by_content=True) for name, found in files.items()}, **texts}


def _scores(ids: list[str], values: NDArray[np.float64]) -> pa.Table:
    """The file's table: values (N,) stretched to scores; those that aren't there, NaN, have none."""
    import pyarrow as pa

    known = ~np.isnan(values)
    low, high = values[known].min(), values[known].max()
    scores = LOWEST + (HIGHEST - LOWEST) * (values[known] - low) / max(high - low, np.finfo(np.float64).tiny)
    return pa.table({"id": [id_ for id_, there in zip(ids, known, strict=True) if there], "score": scores})


def _computed(scorer: str, data: str, folder: str, config: Config) -> tuple[list[str], NDArray[np.float64]]:
    """The ids of the training split and a value for each, by one actor with the evaluation's resources."""
    import ray.data

    from p2i_ray.data import reading

    settings = config.evaluate
    need = resources.evaluate(settings)
    placement.wait_for(need)
    locations.remove(folder)
    rows = reading.read_split(data, "train", columns=["id", "name", "image"])
    scored = rows.map_batches(
        _Score,
        fn_constructor_kwargs={"scorer": scorer, "settings": settings, "image": config.image},
        compute=ray.data.ActorPoolStrategy(size=1),
        batch_size=settings.batch_size,
        batch_format="pyarrow",
        **need.bundle.actor_options(),
    )
    with root_cause.failures_explained(f"scoring by {scorer}", f"lower evaluate.batch_size={settings.batch_size}"):
        written = parquet.write_parquet(scored, folder)
    table = parquet.read_parquet(folder, written.files)
    return table["id"].to_pylist(), table["value"].to_numpy(zero_copy_only=False).astype(np.float64)


Scorer = Callable[[list[Pixels], list[str]], NDArray[np.float64]]  # pictures and names to values (B,)


class _Score:
    """One actor: loads the model once."""

    def __init__(self, *, scorer: str, settings: EvaluateConfig, image: ImageConfig) -> None:
        from p2i_ray.evaluate import catalogue

        device = "cuda" if settings.num_gpus else "cpu"
        self._score = loaded(scorer, catalogue.anywhere(settings), device)
        self._image = image

    def __call__(self, batch: pa.Table) -> pa.Table:
        import pyarrow as pa

        from p2i_ray.evaluate.preprocess import real_picture

        rows: list[dict[str, Any]] = batch.to_pylist()
        opened = [real_picture(row, self._image) for row in rows]
        there = [place for place, picture in enumerate(opened) if picture is not None]
        values = np.full(len(rows), np.nan)
        if there:
            pictures = [picture for picture in opened if picture is not None]
            values[there] = self._score(pictures, [rows[place]["name"] for place in there])
        return pa.table({"id": batch["id"], "value": pa.array(values, pa.float64(), from_pandas=True)})


def loaded(scorer: str, settings: EvaluateConfig, device: str = "cpu") -> Scorer:
    """A scorer with its model.

    Args:
        scorer: its name.
        settings: of the evaluation; paths are absolute.
        device: where it computes.
    """
    if scorer == "colourfulness":
        return lambda pictures, names: np.array([colourfulness(picture) for picture in pictures])
    if scorer == "aesthetics":
        return _aesthetics(settings, device)
    return _clip_score(settings, device)


def _clip_score(settings: EvaluateConfig, device: str) -> Scorer:
    from p2i_ray.evaluate.metrics.text_image import PLACE, ClipPair, cosines

    clip = ClipPair(settings.clip).to(device)

    def values(pictures: list[Pixels], names: list[str]) -> NDArray[np.float64]:
        texts = [settings.text.replace(PLACE, name) for name in names]
        return np.asarray(cosines(clip, pictures, texts).cpu().numpy())

    return values


def _aesthetics(settings: EvaluateConfig, device: str) -> Scorer:
    from p2i_ray.evaluate import scorers
    from p2i_ray.evaluate.metrics.batch import Batch

    score = scorers.aesthetics(settings, device)

    def values(pictures: list[Pixels], names: list[str]) -> NDArray[np.float64]:
        return score(Batch(pictures, _not_needed))

    return values


def _not_needed(pictures: object) -> Any:
    raise NotImplementedError("the aesthetic score has a CLIP of its own")


def colourfulness(picture: Pixels) -> float:
    """Hasler and Suesstrunk's measure (2003): spread and mean of the opponent colours; needs no learned weights."""
    red, green, blue = (picture[..., i].astype(np.float64) for i in range(3))
    across, along = red - green, (red + green) / 2 - blue
    return float(np.hypot(across.std(), along.std()) + 0.3 * np.hypot(across.mean(), along.mean()))
