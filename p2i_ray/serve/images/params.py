"""The parameters of an images edit: a request's fields with the defaults, every limit checked before any work."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from p2i_ray.config import GenerateConfig, ImageConfig
from p2i_ray.config.compositing import CompositingConfig
from p2i_ray.config.serve import LimitsConfig
from p2i_ray.config.truth import TruthConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.requests.tasks import clean_name
from p2i_ray.serve.edge.errors import bad_request
from p2i_ray.serve.edge.health import check_model
from p2i_ray.serve.images.acceptance import Accept
from p2i_ray.serve.images.finishing import file_format
from p2i_ray.serve.images.framing import Shape
from p2i_ray.serve.images.schema import EditRequest
from p2i_ray.serve.images.shape_fields import AutoShape, resolve_shape
from p2i_ray.serve.images.sizes import SizeLimits

MAX_GUIDANCE = 30.0
TRIES = 4  # images painted at most for each that is accepted, where the request doesn't say
MAX_SOFT_EDGE = 64.0  # pixels
MAX_SEED = 2**53 - 1  # what every JSON reader keeps exactly


@dataclass(frozen=True)
class EditParams:
    """The parameters of a checked request, defaults filled in."""

    name: str
    n: int
    candidates: int  # painted at first
    most: int  # painted in all, where images are refused
    ranked: bool
    accept: Accept
    shape: Shape | AutoShape
    seed: int
    steps: int
    guidance: float
    negative: str
    soft_edge: float
    check_expansion: bool
    category: str | None
    painted_as: str | None  # the trained category that stands in for it
    output_format: Literal["png", "jpeg", "webp"]
    quality: int | None
    max_bytes: int | None
    compositing: CompositingConfig = field(default_factory=CompositingConfig)

    @property
    def is_lossy(self) -> bool:
        """Whether the file loses something of the picture."""
        return self.output_format == "jpeg" or (self.output_format == "webp" and self.quality != 100)


@dataclass(frozen=True)
class OwnGenerators:
    """The generators that stand beside the service's model.

    Attributes:
        category: whether there is a category-wise one.
        personality: whether there is a personality-wise one.
        categories: the names of those that were trained.
        stand_in: the trained category that one is painted as, none for one that was trained; raises a UserError for a
            category that can't be painted.
    """

    category: bool = False
    personality: bool = False
    categories: Sequence[str] = ()
    stand_in: Callable[[str], str | None] | None = None


@dataclass(frozen=True)
class EditRules:
    """The limits and defaults that a request is checked against."""

    limits: LimitsConfig
    image: ImageConfig
    generate: GenerateConfig
    model_names: Sequence[str]
    judged: bool
    generators: OwnGenerators = OwnGenerators()
    compositing: CompositingConfig = field(default_factory=CompositingConfig)
    truth: TruthConfig = field(default_factory=TruthConfig)


def resolve(request: EditRequest, rules: EditRules) -> EditParams:
    """Check a request against the limits and fill in the defaults; a random seed, if it has none.

    Raises:
        APIError: something is beyond a limit.
    """
    limits, generate = rules.limits, rules.generate
    if request.model is not None:
        check_model(request.model, rules.model_names)
    _check_offered(request)
    name = _one_line(request.prompt, "prompt", limits)
    if not name:
        raise bad_request("prompt is empty; give the product's name", "prompt")
    _within("n", request.n, 1, limits.max_n)
    if request.best_of is not None:
        if not rules.judged:
            raise bad_request("this server has no judge; leave best_of out", "best_of")
        _within("best_of", request.best_of, request.n, limits.max_candidates)
    candidates = request.best_of or request.n
    _within("n", candidates, 1, limits.max_candidates)
    most = _most_candidates(request, candidates, rules)
    shape = resolve_shape(request, SizeLimits.of(limits, rules.image), n=request.n, max_n=limits.max_n)
    output_format = file_format(request, request.output_format, shape)
    if request.output_compression is not None:
        _within("output_compression", request.output_compression, 0, 100)
        if output_format == "png" and request.output_compression < 100:
            text = "output_compression must be 100 for png, which loses nothing; use webp or jpeg for a smaller file"
            raise bad_request(text, "output_compression")
    steps = generate.num_inference_steps if request.steps is None else request.steps
    guidance = generate.guidance_scale if request.guidance is None else request.guidance
    soft_edge = generate.soft_edge if request.soft_edge is None else request.soft_edge
    category, painted_as = _category(request, name, rules)
    _within("seed", request.seed or 0, 0, MAX_SEED)
    _within("steps", steps, 1, limits.max_steps)
    _within("guidance", guidance, 1, MAX_GUIDANCE)
    _within("soft_edge", soft_edge, 0, MAX_SOFT_EDGE)
    return EditParams(
        name=name,
        n=request.n,
        candidates=candidates,
        most=most,
        ranked=request.best_of is not None,
        accept=request.accept,
        shape=shape,
        seed=secrets.randbelow(2**32) if request.seed is None else request.seed,
        steps=steps,
        guidance=guidance,
        negative=_one_line(request.negative_prompt, "negative_prompt", limits),
        soft_edge=soft_edge,
        check_expansion=request.check_expansion,
        category=category,
        painted_as=painted_as,
        output_format=output_format,
        quality=request.output_compression,
        max_bytes=request.preset.max_bytes if request.preset else None,
        compositing=_compositing(request, rules),
    )


def _most_candidates(request: EditRequest, candidates: int, rules: EditRules) -> int:
    """The most images that are painted until enough of them are accepted."""
    limits = rules.limits
    if request.accept == "approved" and not rules.judged:
        raise bad_request("this server has no judge; accept=faultless asks for none", "accept")
    if request.max_candidates is None:
        enough = min(TRIES * request.n, limits.max_candidates)
        return candidates if request.accept == "any" else max(candidates, enough)
    if request.accept == "any":
        raise bad_request("max_candidates goes with accept=faultless or approved; leave it out", "max_candidates")
    _within("max_candidates", request.max_candidates, candidates, limits.max_candidates)
    return request.max_candidates


def _category(request: EditRequest, name: str, rules: EditRules) -> tuple[str | None, str | None]:
    """The category to paint by, and the one that stands in for it.

    It is the request's, else the product's name; none: no generator asks for one.
    """
    own = rules.generators
    given = _one_line(request.category or "", "category", rules.limits)
    if given and not (own.category or own.personality):
        raise bad_request(
            "this server has no generator that paints by category (generators.category); leave category out", "category"
        )
    if not own.category:
        return given or None, None
    try:
        return given or name, own.stand_in(given or name) if own.stand_in else None
    except UserError as error:
        missing = "" if given else "none is given, and the prompt is none: "
        raise bad_request(f"category: {missing}{error}", "category") from None


def _compositing(request: EditRequest, rules: EditRules) -> CompositingConfig:
    """The server's settings with what the request says."""
    _within("shadow", request.shadow or 0, 0, 1)
    given = {"shadow": request.shadow, "light": request.light}
    found = rules.compositing.model_copy(update={name: value for name, value in given.items() if value is not None})
    if request.accept == "any" or not found.changes_product or rules.truth.min_unchanged == 0:
        return found
    if request.light is None:  # what the request wants goes before the server's own setting
        return found.model_copy(update={"light": "off"})
    raise bad_request(
        f"accept={request.accept} wants the product's pixels as they were sent, and light={found.light} changes "
        "them; send light=off, or accept=any",
        "light",
    )


def _check_offered(request: EditRequest) -> None:
    """Refuse what OpenAI offers and this service doesn't."""
    if request.response_format == "url":
        raise bad_request("pictures come in the answer; use response_format=b64_json", "response_format")
    if request.background == "transparent":
        text = "the background is painted, so it is opaque; POST /v1/cutouts gives the product on a transparent one"
        raise bad_request(text, "background")
    if request.stream:
        raise bad_request("pictures come whole, in one answer; leave stream out, or send stream=false", "stream")
    if request.partial_images:
        raise bad_request("pictures come whole, in one answer; leave partial_images out", "partial_images")


def _one_line(text: str, name: str, limits: LimitsConfig) -> str:
    """Text on one line, without control characters."""
    if len(text) > limits.max_name_chars:
        raise bad_request(f"{name} has {len(text)} characters; at most {limits.max_name_chars}, please", name)
    return clean_name(text, limits.max_name_chars)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also refuses NaN
        raise bad_request(f"{name} must be from {low:.16g} to {high:.16g}", name)
