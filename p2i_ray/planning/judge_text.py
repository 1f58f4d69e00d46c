"""The forecast of a judging as people read it: what `jobs/score.py --plan` prints. Neither engine, GPU nor weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from p2i_ray.cluster import resources
from p2i_ray.config import Config, ImageConfig, JudgeConfig
from p2i_ray.config.planning import JudgingPlanConfig
from p2i_ray.judge import attractiveness, length_check
from p2i_ray.judge.engines import model_folder
from p2i_ray.judge.engines.vllm import chat_template
from p2i_ray.judge.engines.vllm import processor as processing
from p2i_ray.judge.request_lengths import Asked, Length, Measure
from p2i_ray.judge.requests.exemplars import MAX_EXEMPLARS
from p2i_ray.judge.requests.prompts import load_prompts

PICTURE_TOKENS = 324  # of the judge that the assumed rates are of: Qwen2.5-VL at 512 pixels


def as_lines(config: Config, assumed: JudgingPlanConfig, asked: Asked, rows: int) -> list[str]:
    """The forecast of one pass over the rows.

    Args:
        config: the settings.
        assumed: rates, starts and price.
        asked: what is going to be asked of each row.
        rows: how many.

    Raises:
        UserError: the model can't be a judge.
    """
    judge, image = config.judge, config.image
    if judge.hosted.url:
        prompt = load_prompts(judge.prompts, judge.reasoned, judge.show_cutout).score
        return [
            f"judge        {attractiveness.forecast(judge, prompt, rows, image.resolution)}",
            "tokens       the endpoint counts them by itself; the price goes by Qwen-VL's",
            f"rows         {rows:,}, {judge.hosted.requests_per_minute:g} a minute at most "
            "(judge.hosted.requests_per_minute)",
        ]
    return [*_tokens(judge, image, asked), "", *_time(judge, assumed, rows)]


def _tokens(judge: JudgeConfig, image: ImageConfig, asked: Asked) -> Iterator[str]:
    """Lines on the tokens of pictures and requests, if the model is there."""
    folder = Path(judge.model).expanduser()
    yield f"model        {judge.model}"
    if not folder.is_dir():
        yield (
            "tokens       not known: the model isn't there yet, and its processor counts them; `make models` fetches "
            "what a preset's hub.… names"
        )
        return
    model_folder.check_config(folder)
    judge = judge.model_copy(update={"model": str(folder)})
    try:
        processor = processing.load(judge.model)
        chat_template.check(judge.model, processor)
        counter = processing.ChatCounter(judge, image.resolution, processor)
        yield from _counted(Measure(judge, image, counter), judge, image, asked)
        if complaint := length_check.complaint(judge, image, asked, processor):
            yield f"too long     {complaint}"
    except processing.CountError as error:
        yield f"tokens       not known: {error}"


def _counted(measure: Measure, judge: JudgeConfig, image: ImageConfig, asked: Asked) -> Iterator[str]:
    side = image.resolution
    shaped = f"; {measure.most_tokens:,} at most, in another shape" * (measure.most_tokens > measure.square_tokens)
    yield f"picture      {measure.square_tokens:,} tokens at {side} x {side} pixels{shaped}"
    score, *others = measure.lengths(asked._replace(critiques=True))
    yield f"request      of judge.max_model_len={judge.max_model_len} tokens, with the reply and the longest name:"
    for length in (score, *(one for one in others if one.pictures)):
        yield f"             {length_check.described(length, label=True)}"
    bare, full = measure.summary(0).tokens, measure.summary(judge.summary_examples).tokens
    more = (
        f", and up to {full:,} with {judge.summary_examples} comments (judge.summary_examples) of "
        f"judge.max_reason_tokens={judge.max_reason_tokens}; where they don't fit, fewer are shown"
    )
    yield f"             summary (SUM): {bare:,} tokens{more * (full > bare)}"
    shown = [measure.score(asked, measure.stand_ins(number, asked.names)) for number in range(MAX_EXEMPLARS + 1)]
    yield f"exemplars    {_exemplars(shown, judge.max_model_len)}"


def _exemplars(scores: Sequence[Length], room: int) -> str:
    """Tokens of a score after 0, 1, 2, … exemplars, and how many fit."""
    each = "  ".join(f"{number}: {length.tokens:,}" for number, length in enumerate(scores))
    fitting = [number for number, length in enumerate(scores) if length.tokens <= room]
    return f"{each}  tokens; {f'up to {fitting[-1]} fit' if fitting else 'not even a request without any fits'}"


def _time(judge: JudgeConfig, assumed: JudgingPlanConfig, rows: int) -> Iterator[str]:
    """Rows a second, hours and price."""
    name = "reasoned_per_s" if judge.reasoned else "scored_per_s"
    rate, engines = getattr(assumed, name), judge.max_replicas or judge.replicas
    seconds = assumed.engine_start_s + rows / rate / engines
    gpus = engines * resources.engine(judge).gpus
    plural = f"{engines} engine{'s' * (engines > 1)}"
    yield f"rows         {rows:,}"
    yield (
        f"rows/s       {rate * engines:g}: {rate:g} an engine (plan.{name}, assumed of a 7B model on an A100 with "
        f"{PICTURE_TOKENS} tokens a picture), {plural}"
    )
    if not gpus:
        yield f"hours        {seconds / 3600:.2f} at that rate, which CPUs don't reach: give plan.{name} as measured"
        yield "US dollars   not known: the engines have no GPU (judge.num_gpus=0)"
        return
    hours = (seconds + assumed.node_start_s) / 3600
    yield (
        f"hours        {hours:.2f}, of which {(assumed.node_start_s + assumed.engine_start_s) / 60:.0f} minutes until "
        "node and engines are up"
    )
    yield (
        f"US dollars   {hours * gpus * assumed.usd_per_gpu_hour:.2f} on {gpus:g} x GPU at "
        f"{assumed.usd_per_gpu_hour:g} an hour (plan.usd_per_gpu_hour)"
    )
    yield "assumed      rates and starts, none of them measured here: plan.… in --help; give your own"
