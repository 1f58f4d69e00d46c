"""Making a study: which products, who is left, and keys that give nothing away."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any

from p2i_ray.config import ImageConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.config.study import BETWEEN, StudyConfig
from p2i_ray.errors import UserError
from p2i_ray.evaluate.study import evaluations, page, pictures
from p2i_ray.evaluate.study import study as studies
from p2i_ray.evaluate.study.evaluations import Evaluated
from p2i_ray.evaluate.study.study import Criterion, Method, Picture, Question, Study
from p2i_ray.storage import locations

log = logging.getLogger(__name__)


def make(
    evaluated: Sequence[Evaluated],
    out: str,
    *,
    settings: StudyConfig,
    image: ImageConfig,
    number: int,
    seed: int,
    asked: Mapping[str, Any],
) -> Study:
    """Write a study's page, pictures and key into a folder; one that an attempt has left there stays as it is.

    Args:
        evaluated: the methods.
        out: location of the folder.
        settings: of the study.
        image: limits of pictures.
        number: products; fewer where the evaluations have fewer in common.
        seed: decides which products. Sides and keys are drawn anew each time, from no seed.
        asked: all that the study depends on.

    Raises:
        UserError: the evaluations don't fit together, the page is too large, or the folder has another study.
    """
    if locations.exists(locations.join(out, studies.FILE)):  # written last; its page may be with raters already
        found = studies.read(out)
        if found.asked != asked:
            raise UserError(
                f"{out} holds a study with other settings, whose page raters may have; give those that it was made "
                "with, or another out"
            )
        return found
    pairs = pairs_of([one.name for one in evaluated], settings)
    ids = choose(evaluations.common(evaluated), number, seed)
    shown = pictures.encode(evaluated, ids, image=image, side=settings.side)
    made = arrange(
        evaluated,
        pairs,
        {product: one.name for product, one in shown.items()},
        settings=settings,
        asked=asked,
        rng=random.SystemRandom(),
    )
    html = page.render(made, shown, cutouts=settings.cutouts).encode()
    if len(html) > settings.max_mb * 1_000_000:
        raise UserError(
            f"the page of {len(shown)} products would have {len(html) / 1e6:.1f} MB, more than "
            f"study.max_mb={settings.max_mb}; lower pictures= or study.side={settings.side}, or raise it"
        )
    pictures.write(evaluated, made, out)
    locations.write_bytes(locations.join(out, studies.PAGE), html)
    studies.write(made, out)
    return made


def pairs_of(methods: Sequence[str], settings: StudyConfig) -> list[tuple[str, str]]:
    """The pairs of methods that are compared: the reference, or the one given earlier, first.

    Raises:
        UserError: there is no such reference.
    """
    reference = settings.reference or methods[0]
    if reference not in methods:
        raise UserError(f"study.reference={reference} is none of the methods {', '.join(methods)}")
    ordered = [reference, *(one for one in methods if one != reference)]
    if settings.pairs == "all":
        return list(itertools.combinations(ordered, 2))
    return [(reference, one) for one in ordered[1:]]


def choose(ids: Sequence[str], number: int, seed: int) -> list[str]:
    """So many of the products, or all where there are fewer; the same ones for the same seed."""
    if len(ids) < number:
        log.warning(
            "the evaluations have %d products in common, fewer than pictures=%d; all are shown", len(ids), number
        )
    picked = random.Random(seed_for(seed, "study")).sample(list(ids), min(number, len(ids)))
    return sorted(picked)


def arrange(
    evaluated: Sequence[Evaluated],
    pairs: Sequence[tuple[str, str]],
    products: Mapping[str, str],
    *,
    settings: StudyConfig,
    asked: Mapping[str, Any],
    rng: random.Random,
) -> Study:
    """The questions about these products: each pair of methods about each, in no order.

    Of each pair of methods, either is left in half of its questions; of an odd number, chance gives one of them one
    more.

    Args:
        evaluated: the methods.
        pairs: of their names.
        products: id -> name.
        settings: of the study.
        asked: all that the study depends on.
        rng: draws sides, keys and ids. From a seed that others know, sides could be computed.
    """
    keys = _Keys(rng)
    by_method = {(product, one.name): keys.new() for product in products for one in evaluated}
    questions: dict[str, Question] = {}
    for first, second in pairs:
        shuffled = list(products)
        rng.shuffle(shuffled)
        begin = rng.randrange(2)
        for place, product in enumerate(shuffled, begin):
            sides = (first, second) if place % 2 else (second, first)
            left, right = (by_method[product, method] for method in sides)
            questions[keys.new()] = Question(left=left, right=right)
    named = [one.partition(BETWEEN) for one in settings.criteria]
    return Study(
        id=keys.new(),
        title=settings.title,
        criteria=[Criterion(name=name.strip(), question=question.strip()) for name, _, question in named],
        methods=[Method(name=one.name, evaluated=one.folder, model=one.model) for one in evaluated],
        pairs=list(pairs),
        products=dict(products),
        pictures={key: Picture(product=product, method=method) for (product, method), key in by_method.items()},
        questions=dict(sorted(questions.items())),
        asked=dict(asked),
    )


class _Keys:
    """Random keys, each once."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._given = rng, set[str]()

    def new(self) -> str:
        while (key := f"{self._rng.getrandbits(48):012x}") in self._given:
            pass
        self._given.add(key)
        return key
