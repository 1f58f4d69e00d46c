"""Train the generators by category and style on the toy world of styles, and measure what they paint: `make styles`.

For each seed five copies of one size are trained for as many steps: category-wise, an ordinary ControlNet in its place,
personality-wise, the same without spoiling, and the same told of its reference by CLIP tokens as IP-Adapter is. Two of
them, with spoiling and without, are also trained for four times as many: pasting takes longer to learn than style. Each
paints the test split, whose rows have a reference of another product; jobs/evaluate.py measures by CLIP's features, and
p2i_ray.mini.style_share by the held-out classifier. What is there already is not made again.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT, DATA = Path("runs/styles"), Path("data/mini-styles")
BASE = "p2i_ray/mini/weights/diffusion"
CLIP = "generators.reference_clip=p2i_ray/mini/weights/diffusion_clip"
SEEDS = (0, 1, 2)
STEPS, LONGER = 150, 600
# The tiny model's prompts have 32 tokens, and its tokenizer knows few words.
WORDS = (
    "generators.product_prompt=a {category}",
    "generators.background_prompt=in",
    "generators.tokens=2",
    "generators.lr_copy=1e-3",
    "generators.lr_identifiers=1e-2",
)
UNSPOILT = "generators.spoiling.enabled=false"
TRAINED = {
    "category": ("generator=category",),
    "controlnet": ("generator=category", "generators.plain=true"),
    "personality": ("generator=personality",),
    "unspoilt": ("generator=personality", UNSPOILT),
    "told": ("generator=personality", CLIP),
    "personality_longer": ("generator=personality",),
    "unspoilt_longer": ("generator=personality", UNSPOILT),
}
PAINTED = {
    "base": ("generators.category={controlnet}", "generators.category_scale=0"),  # which reads «a {category}» alone
    "controlnet": ("generators.category={controlnet}",),
    "category": ("generators.category={category}",),
    "personality": ("generators.personality={personality}",),
    "unspoilt": ("generators.personality={unspoilt}",),
    "told": ("generators.personality={told}", CLIP),
    "personality_longer": ("generators.personality={personality_longer}",),
    "unspoilt_longer": ("generators.personality={unspoilt_longer}",),
    "both": ("generators.category={category}", "generators.personality={personality}"),
}
EVALUATED = ("category_compactness", "category_distance", "reference_similarity")
MEASURED = (
    "scene_share",
    "style_share",
    "same_style_share",
    "other_style_share",
    "patch_distance",
    "patch_distance_other",
    "patch_distance_gap",
    *EVALUATED,
)


def run() -> dict[str, float]:
    """Each figure's mean over the seeds, and its standard deviation, `…_spread`."""
    if not DATA.is_dir():
        call(["-m", "p2i_ray.mini.style_data", "--out", str(DATA)])
    found = {seed: of_seed(seed) for seed in SEEDS}
    wanted = measured()
    table = as_table({name: [found[seed][name] for seed in SEEDS] for name in PAINTED}, wanted)
    (OUT / "table.md").write_text(table)
    print(table, flush=True)
    figures = {}
    for name in PAINTED:
        for figure in MEASURED:
            values = [found[seed][name][figure] for seed in SEEDS]
            figures[f"styles_{name}_{figure}"] = statistics.mean(values)
            figures[f"styles_{name}_{figure}_spread"] = statistics.stdev(values) if len(values) > 1 else 0.0
    return figures


def of_seed(seed: int) -> dict[str, dict[str, float]]:
    """The figures of everything that is painted with one seed, by name."""
    folder = OUT / str(seed)
    for name, settings in TRAINED.items():
        if not (folder / name).is_dir():
            steps = LONGER if name.endswith("_longer") else STEPS
            job(
                "train", f"out={folder / name}", f"steps={steps}", f"seed={seed}", "train.tracking.samples=8", *settings
            )
    folders = {name: str(folder / name) for name in TRAINED}
    found = {}
    for name, settings in PAINTED.items():
        out = folder / f"painted-{name}"
        note = folder / f"{name}.json"
        if not note.is_file():
            given = (setting.format(**folders) for setting in settings)
            methods = f"methods={','.join(EVALUATED)}"
            job("evaluate", "split=test", f"model={BASE}", f"out={out}", f"seed={seed}", methods, *given)
            evaluated = json.loads((out / "metrics.json").read_text())
            note.write_text(json.dumps({**measured(out / "generated"), **evaluated}))
        found[name] = json.loads(note.read_text())
    return found


def measured(painted: Path | None = None) -> dict[str, float]:
    """The figures of style_share for a painted folder; none: for the test split's own pictures, which are wanted."""
    given = ("--painted", str(painted)) if painted else ()
    said = call(["-m", "p2i_ray.mini.style_share", "--data", str(DATA), "--split", "test", *given])
    figures: dict[str, float] = json.loads(said)
    return figures


def job(name: str, *settings: str) -> None:
    """Run a job of the toy preset."""
    call([str(ROOT / "jobs" / f"{name}.py"), "--config", "mini", f"data={DATA}", *WORDS, *settings])


def call(arguments: Sequence[str]) -> str:
    """Run Python with arguments; what it prints. Its progress goes to this process's standard error."""
    print(" ".join(arguments), flush=True)
    return subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def as_table(found: dict[str, list[dict[str, float]]], wanted: dict[str, float]) -> str:
    """A table in Markdown: a row for each name, with mean and spread of every figure over the seeds."""
    lines = [f"| | {' | '.join(MEASURED)} |", "|---|" + "---|" * len(MEASURED)]
    for name, figures in {**found, "wanted": [wanted]}.items():
        cells = []
        for figure in MEASURED:
            values = [one.get(figure, math.nan) for one in figures]  # the split's own pictures aren't evaluated
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            cells.append("—" if any(map(math.isnan, values)) else f"{statistics.mean(values):.2f}{spread}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
