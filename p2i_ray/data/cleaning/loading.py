"""The rules that settings switch on, checked on the driver and loaded where photos are looked at."""

from __future__ import annotations

from p2i_ray.data.cleaning import people
from p2i_ray.data.cleaning.rules import Rules
from p2i_ray.data.cleaning.settings import CleaningConfig
from p2i_ray.errors import UserError


def check(settings: CleaningConfig) -> CleaningConfig:
    """The settings as any worker can use them.

    Raises:
        UserError: people are looked for without a detector, or with one that can't be used.
    """
    if settings.max_people is None:
        return settings
    model = people.anywhere(settings.people_model)
    if model is None:
        raise UserError("ingest.cleaning.max_people needs ingest.cleaning.people_model, a transformers object detector")
    people.check(model)
    return settings.model_copy(update={"people_model": model})


def load(settings: CleaningConfig) -> Rules:
    """The rules, with their detectors in this process."""
    text = looks_for_people = None
    if settings.max_text is not None:
        from p2i_ray.data.cleaning.text import TextCover

        text = TextCover()
    if settings.max_people is not None and settings.people_model:
        looks_for_people = people.PeopleCover(settings.people_model)
    return Rules(settings, text, looks_for_people)
