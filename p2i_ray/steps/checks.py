"""Find before the first step whatever would end a later one and needs no model to be found."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal

from p2i_ray.config import Config
from p2i_ray.data import longest_names, reading
from p2i_ray.diffusion.model import training_checks, validation
from p2i_ray.diffusion.training import launch
from p2i_ray.diffusion.training.trackers import check_tool
from p2i_ray.errors import UserError
from p2i_ray.evaluate import measure
from p2i_ray.judge import held_out, length_check
from p2i_ray.judge.calibration import gold, sanity
from p2i_ray.judge.cascade import clip_features
from p2i_ray.judge.engines import model_folder
from p2i_ray.judge.request_lengths import Asked
from p2i_ray.judge.requests import exemplars
from p2i_ray.judge.requests.prompts import Exemplar, load_prompts
from p2i_ray.steps import trained_clip
from p2i_ray.storage import locations

log = logging.getLogger(__name__)


def check(config: Config, data: str, begun: bool = False) -> None:
    """Check data, models and files of a run.

    Args:
        config: the run's settings.
        data: location of the EPBD folder.
        begun: whether the run goes on: how many rows its finished rounds kept can't be told from the settings.

    Raises:
        UserError: something would end a step; the line says what, and what to do.
    """
    idr, base = config.idr, locations.absolute(config.diffusion.base)
    rows, dev_rows = reading.count_scenes(data, "train"), reading.count_scenes(data, idr.dev_split)
    if idr.given_scores:
        rows = min(rows, _given(locations.absolute(idr.given_scores), data))
    for number, left in enumerate([rows] if begun else _most_rows(config, rows), 1):
        _check_batch(config, number, left)
    validation.check_model(base, config.image, config.diffusion.widen)
    training_checks.check_training(base, validation.anywhere(config.diffusion), config.train)
    check_tool(config.train.tracking)
    measure.check(config.evaluate, measure.METRICS, idr.dev_split, dev_rows)
    trained_clip.warn(config, measure.METRICS)
    if idr.judged:
        _check_judge(config, data)


def _given(location: str, data: str) -> int:
    """Count the training split's rows that a file of scores has; those that it lacks are set aside, which is said."""
    scores, found, rows = gold.read(location), 0, 0
    for file in reading.split_files(data, "train"):
        ids = reading.ids_of(file)
        found, rows = found + sum(id_ in scores for id_ in ids), rows + len(ids)
    if not found:
        raise UserError(
            f"{location} has no score for any of the {rows} rows of {data}/train; its ids, as {next(iter(scores))!r}, "
            "must be those of the split"
        )
    if found < rows:
        log.warning("%s has no score for %d of the %d rows of train, which are set aside", location, rows - found, rows)
    return found


def _check_judge(config: Config, data: str) -> None:
    judge = config.judge
    load_prompts(judge.prompts, judge.reasoned, judge.show_cutout)
    c_r = exemplars.from_settings(judge, config.image)
    if not judge.hosted.url:
        model_folder.check(judge.model)
        length_check.check(judge, config.image, asked(config, data, c_r))
    if config.held_out_judge:
        names = longest_names.read(data, config.idr.dev_split, judge.max_name_chars)
        held_out.check(config, Asked(names, critiques=True))
    if judge.cascade.clip:
        clip_features.check(judge.cascade.clip)
    if config.calibration.gold:
        gold.read(locations.absolute(config.calibration.gold))


def asked(config: Config, data: str, c_r: Sequence[Exemplar] = ()) -> Asked:
    """The longest requests to the judge of a run."""
    idr, judge = config.idr, config.judge
    splits = dict.fromkeys(("train", idr.dev_split))
    names = [name for split in splits for name in longest_names.read(data, split, judge.max_name_chars)]
    if config.calibration.rows:
        names = sanity.with_instructions(names, judge.max_name_chars)
    return Asked(
        names,
        exemplars=c_r,
        chosen=idr.exemplars if idr.rounds > 1 else 0,
        later_feedback=idr.feedback and idr.rounds > 1,
        critiques=True,
    )


def _most_rows(config: Config, rows: int) -> Iterator[int]:
    """The most rows that each round can train on: all, or those that keep_rows or keep_fraction leaves."""
    idr = config.idr
    for number in range(idr.rounds):
        if idr.select and idr.keep_rows:
            rows = min(rows, idr.keep_rows[number])
        elif idr.select and idr.keep_fraction is not None:
            rows = max(1, int((Decimal(str(idr.keep_fraction)) * rows).to_integral_value(ROUND_HALF_UP)))
        yield rows


def _check_batch(config: Config, number: int, rows: int) -> None:
    """Like launch.check_rows, with the round."""
    try:
        launch.check_rows(config.train, rows)
    except UserError as error:
        raise UserError(f"round {number}/{config.idr.rounds} · train: {error}") from None
