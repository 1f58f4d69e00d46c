"""One evaluation: a model paints a split, and the pictures are measured, by metrics and by what the judge says of them.

The judge, the generator and the metrics don't know each other; here they meet.

    <out>/generated/*.parquet     the pictures; <out>/generated.json what they depend on
    <out>/values.parquet          each picture's values
    <out>/record.json             the figures with all that they depend on; written last
    <out>/metrics.json            the figures alone
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import resources
from p2i_ray.cluster.resources import Phase
from p2i_ray.config import Config, JudgeConfig
from p2i_ray.config.base import Reserving
from p2i_ray.console.progress import phase
from p2i_ray.evaluate import catalogue, inception, measure, picture_values, record
from p2i_ray.storage import fingerprints, locations, parquet

if TYPE_CHECKING:
    from p2i_ray.diffusion.sampling.painting_method import PaintingMethod
    from p2i_ray.judge.judge import Judge

METRICS = "metrics.json"
# Settings that say where, and how many at a time, pictures are painted and measured: an error's advice may change them.
PORTIONS = {*Reserving.model_fields, "batch_size", "num_workers", "num_gpus", "num_cpus"}


@dataclass(frozen=True)
class Evaluation:
    """An evaluation: pictures to paint, and their metrics.

    Attributes:
        config: the settings of painting and measuring; its seed is the noise's.
        data: location of the EPBD folder.
        split: whose products are painted, and whose pictures are compared with.
        model: location of what paints.
        painting: the method.
        metrics: names from evaluate.catalogue.
    """

    config: Config
    data: str
    split: str
    model: str
    painting: PaintingMethod
    metrics: tuple[str, ...]

    @property
    def judged(self) -> list[str]:
        """The metrics that are the judge's answers."""
        return [name for name in self.metrics if catalogue.NEEDS[name].judge]

    @property
    def phases(self) -> list[Phase]:
        """The resources that it holds at a time."""
        config = self.config
        turns: list[Phase] = [(resources.generate(config.generate),), (resources.evaluate(config.evaluate),)]
        return [*turns, *([(resources.judge(judge_of(config)),)] if self.judged else [])]

    @property
    def reads(self) -> list[str]:
        """Locations that all nodes read."""
        asked = judge_of(self.config)
        judges = [locations.absolute(asked.model)] if self.judged and not asked.hosted.url else []
        return [self.data, self.model, self.config.evaluate.clip, *self.painting.parts, *judges]

    def check(self) -> None:
        """Find before anything is painted what would end it.

        Raises:
            UserError: a metric or the method lacks a part, there are too few pictures, or two rows have one id.
        """
        from p2i_ray.data import categories, reading
        from p2i_ray.generators.methods import check_compared, warn_of_stand_ins

        pictures = reading.count_scenes(self.data, self.split)
        reading.check_ids(self.data, self.split)
        measure.check(self.config.evaluate, self.metrics, self.split, pictures)
        known = categories.read(self.data, self.split)
        catalogue.check_painted(self.metrics, self.split, reading.count(self.data, self.split), known)
        if "reference_similarity" in self.metrics:
            check_compared(self.painting, self.data, self.split)
        if "scene_fit" in self.metrics:
            catalogue.check_categories(self.config.evaluate, known)
        self.painting.check(self.model, self.config.image)
        warn_of_stand_ins(self.painting, self.data, self.split)

    def judge(self, cache: str) -> Judge:
        """The judge that it asks, with what it is going to be asked checked; its engines start when it is asked.

        Raises:
            UserError: it can't be asked that.
        """
        judge = made_judge(self.config, cache)
        check_judge(judge, self.config, data=self.data, split=self.split, metrics=self.metrics)
        return judge

    def paint(self, out: str) -> tuple[str, list[str]]:
        """The folder of its pictures and the names of the files: painted now, or by an attempt that failed later."""
        from p2i_ray.data import reading
        from p2i_ray.diffusion.sampling import generate
        from p2i_ray.diffusion.sampling.painting_method import columns_read

        folder, note = locations.join(out, "generated"), locations.join(out, "generated.json")
        asked = self.painted_by
        if locations.exists(note):
            found = json.loads(locations.read_text(note))
            if lasting(found["asked"]) == lasting(asked):
                return folder, list(found["files"])
        locations.remove(note)
        locations.remove(folder)
        config = self.config
        rows = reading.read_split(self.data, self.split, columns=columns_read(self.painting))
        with phase(f"generate {self.split}", reading.count(self.data, self.split)) as progress:
            written = generate.generate(
                rows,
                self.model,
                folder,
                settings=config.generate,
                image=config.image,
                painting=self.painting,
                seed=config.seed,
                progress=progress,
            )
        locations.write_text(note, json.dumps({"asked": asked, "files": written.files}, indent=1))
        return folder, written.files

    def measure(self, folder: str, files: list[str], out: str, judge: Judge | None = None) -> dict[str, float]:
        """Its figures, which are written below `out` with each picture's values and the record.

        Args:
            folder: of the pictures.
            files: their names.
            out: the evaluation's folder.
            judge: that answers; needed where `judged` has metrics.
        """
        from p2i_ray.data import footers, reading
        from p2i_ray.data.schema import SCHEMA

        config, judged = self.config, self.judged
        picture_values.clear(out)
        figures: dict[str, float] = {}
        if measured := [name for name in self.metrics if name not in judged]:
            there = footers.columns_of_any(self.data, self.split)
            wanted = dict.fromkeys([*SCHEMA.names, *measure.real_columns(measured, there)])
            real = reading.read_split(self.data, self.split, columns=list(wanted))
            figures = measure.measure(
                folder, files, real, settings=config.evaluate, image=config.image, metrics=measured, values=out
            )
        if judge and judged:
            figures |= answered(judge, folder, files, out=out, metrics=judged)
        locations.write_text(locations.join(out, METRICS), json.dumps(figures, indent=1))
        record.write(
            record.make(
                figures,
                self.metrics,
                model=f"{self.painting.name} {self.model}",
                split=locations.join(self.data, self.split),
                settings=config.evaluate,
                image=config.image,
                judges=judge.conditions() if judge and judged else None,
                judge=f"{judge.settings.group} {judge.settings.model}" if judge and judged else None,
            ),
            out,
        )
        return figures

    @property
    def painted_by(self) -> dict[str, Any]:
        """Facts that the pictures depend on."""
        split = locations.join(self.data, self.split)
        inputs = {
            name: fingerprints.signature(fingerprints.states(one)) for name, one in (("d", split), ("m", self.model))
        }
        config = self.config
        settings = {name: getattr(config, name).model_dump(mode="json") for name in ("generate", "image", "diffusion")}
        asked = {**settings, "seed": config.seed, "split": split, "model": self.model, "signatures": inputs}
        return asked | self.painting.made_with()

    @property
    def measured_by(self) -> dict[str, Any]:
        """Facts that its figures depend on besides the pictures and the metrics' names."""
        settings = catalogue.anywhere(self.config.evaluate)
        places = [place for name in catalogue.PATHS if (place := getattr(settings, name))]
        places.append(str(inception.weights()))
        judge = judge_of(self.config) if self.judged else None
        if judge:
            places += [locations.absolute(place) for place in (judge.model, judge.prompts) if place]
        files = {one: fingerprints.signature(fingerprints.states(one)) for one in places if locations.exists(one)}
        return {
            "evaluate": settings.model_dump(mode="json", exclude={"judge"}),
            "judge": judge.model_dump(mode="json") if judge else None,
            "measuring_files": files,
        }


def lasting(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a result depends on, as a file has them, without those of `PORTIONS`.

    Args:
        asked: settings by group, and other JSON values.
    """
    found: dict[str, Any] = json.loads(json.dumps(asked))  # tuples are lists
    groups = {key: found[key] for key in ("generate", "evaluate") if key in found}
    kept = {key: {name: one for name, one in group.items() if name not in PORTIONS} for key, group in groups.items()}
    return found | kept


def judge_of(config: Config) -> JudgeConfig:
    """The settings of the judge whose answers are metrics: the held-out judge where there is one."""
    return config.held_out_judge or config.judge


def made_judge(config: Config, cache: str) -> Judge:
    """The judge whose answers are metrics."""
    from p2i_ray.judge import held_out
    from p2i_ray.judge.judge import Judge

    return held_out.make(config, cache) or Judge(config.judge, config.image, config.seed, cache=cache)


def check_judge(judge: Judge, config: Config, *, data: str, split: str, metrics: Sequence[str]) -> None:
    """Check that the judge of `made_judge` can be asked what metrics need of it.

    Raises:
        UserError: it gives no probabilities, or what it is asked is too long for it.
    """
    from p2i_ray.data import longest_names
    from p2i_ray.judge import held_out, length_check
    from p2i_ray.judge.request_lengths import Asked

    if "vqa_score" in metrics:
        with held_out.errors_of(judge):
            judge.check_probabilities()
    names = longest_names.read(data, split, config.judge.max_name_chars)
    asked = Asked(names, critiques="available_rate" in metrics)
    if config.held_out_judge:
        held_out.check(config, asked)
    elif not config.judge.hosted.url:
        length_check.check(config.judge, config.image, asked)


def answered(judge: Judge, folder: str, files: list[str], *, out: str, metrics: Sequence[str]) -> dict[str, float]:
    """The metrics of generated pictures that are the judge's answers; answers and values are written below `out`."""
    from p2i_ray.data import reading
    from p2i_ray.evaluate.metrics import judged as figures_of
    from p2i_ray.judge import held_out

    ask = {
        "available_rate": (judge.critique, figures_of.available_rate, figures_of.available),
        "vqa_score": (judge.suitability, figures_of.vqa_score, figures_of.suitable),
    }
    found: dict[str, float] = {}
    for name in metrics:
        answer, figures, values = ask[name]
        answers = locations.join(out, f"answers-{name.replace('_', '-')}")
        locations.remove(answers)  # of an attempt that failed; what was answered is in the cache
        with phase(name, None, "replies") as progress, held_out.errors_of(judge):
            written = answer(reading.read_files(folder, files), answers, progress=progress)
        table = parquet.read_parquet(answers, written.files)
        found |= figures(table)
        pairs = zip(table["id"].to_pylist(), values(table), strict=True)
        picture_values.add(out, name, {picture: value for picture, value in pairs if value is not None})
    return found


def engines_of(judge: Judge | None) -> AbstractContextManager[object]:
    """A context that stops a judge's engines at its end; of none, a context that does nothing."""
    return judge or nullcontext()
