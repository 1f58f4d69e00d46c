"""A run folder as the loop leaves it, without models: the toy world's pictures, a noisy oracle as the judge.

`build(folder, data)` writes a finished run; `stop_after=(round, step)` leaves one that was killed there.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageFilter

from p2i_ray.config import Config, load
from p2i_ray.data.images import encode_png
from p2i_ray.diffusion.sampling.generate import schema
from p2i_ray.evaluate.metrics import judge_gap
from p2i_ray.judge.requests import exemplars
from p2i_ray.judge.requests.tasks import CRITIQUES, SCORES
from p2i_ray.mini.scenes import SCENE_RENDERERS, draw_scene
from p2i_ray.mini.world import FLAWS, RIGHT_SCENE
from p2i_ray.run.folder import Manifest, Run
from p2i_ray.steps import inspection, selection
from p2i_ray.steps.exemplars import FILE
from tests.support import training_trace

GENERATED = schema()
FEEDBACK = ("wrong scene, plain background, blur", "wrong scene, text overlay", "blur")
METRICS = (
    {"fid": 58.31, "clip_c_i": 61.20, "clip_c_b": 11.94},
    {"fid": 37.02, "clip_c_i": 66.75, "clip_c_b": 21.07},
    {"fid": 33.40, "clip_c_i": 67.31, "clip_c_b": 24.66},
    {"fid": 32.88, "clip_c_i": 67.90, "clip_c_b": 25.81},
)
SKILL = (
    0.1,
    0.45,
    0.7,
    0.85,
)  # how often the diffusion model finds the right scene before training and after each round
HARD_ROW = "hard to read"
CACHED = 40  # of the first round's answers


class RunConfig(Config):
    """What jobs/idr.py adds."""

    run_dir: str
    data: str


def build(
    folder: Path,
    data: Path,
    feedback: tuple[str, ...] = FEEDBACK,
    stop_after: tuple[int, str] | None = None,
    **settings: object,
) -> str:
    """Write a run folder and return its location.

    Args:
        folder: where.
        data: an EPBD of the toy world, with its truth.parquet.
        feedback: the text after each round.
        stop_after: round and step of the last manifest.
        settings: over the mini preset, dots written as two underscores.
    """
    overrides = [f"{key.replace('__', '.')}={value}" for key, value in settings.items()]
    run = Run.open(str(folder), load(RunConfig, "mini", [f"run_dir={folder}", f"data={data}", *overrides]))
    try:
        _rounds(_Writer(run, stop_after), Path(data), feedback)
    except _StoppedError:
        run.write_summary("stopped")
    else:
        run.write_summary("done")
    return run.dir


class _StoppedError(Exception):
    pass


class _Writer:
    def __init__(self, run: Run, stop_after: tuple[int, str] | None) -> None:
        self.run, self.stop_after = run, stop_after

    def table(
        self,
        number: int,
        step: str,
        output: str,
        table: pa.Table,
        *,
        seconds: float,
        facts: dict[str, object] | None = None,
    ) -> None:
        """A step that writes rows."""
        rows, errors = table.num_rows, table.num_rows - table["error"].null_count
        files = self.files(number, output, table)
        self.done(number, step, seconds, rows_in=rows, rows_out=rows, set_aside=errors, files=files, facts=facts or {})

    def files(self, number: int, output: str, table: pa.Table) -> list[str]:
        """Write half of the rows to each of two files, next to one that a killed attempt left; return the two names."""
        folder = Path(self.run.path(number, output))
        folder.mkdir(parents=True)
        half = table.num_rows // 2
        pq.write_table(table.slice(0, half), folder / "part-a.parquet")
        pq.write_table(table.slice(half), folder / "part-b.parquet")
        (folder / "part-dead.parquet").write_bytes(b"never finished")
        return ["part-a.parquet", "part-b.parquet"]

    def done(self, number: int, step: str, seconds: float, **counts: object) -> None:
        manifest = Manifest(step=step, round=number, seconds=seconds, **counts)
        path = Path(self.run.path(number, "steps", f"{step}.json"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(manifest.model_dump_json())
        if self.stop_after == (number, step):
            raise _StoppedError


def _rounds(writer: _Writer, data: Path, feedback: tuple[str, ...]) -> None:
    run = writer.run
    dev = pq.read_table(data / "validation").to_pylist()
    truth = {row["id"]: row for row in pq.read_table(data / "truth.parquet").to_pylist()}
    candidates = sorted(pq.read_table(data / "train", columns=["id"])["id"].to_pylist())
    _generate(writer, 0, dev)
    _audit(writer, 0, dev)
    named = ""
    for number in range(1, run.config.idr.rounds + 1):
        if not run.config.idr.select:
            found = training_trace.write(run, number, data, len(candidates))
            writer.done(number, "train", 100.0, rows_in=len(candidates), facts=found)
            _generate(writer, number, dev)
            continue
        rng = np.random.default_rng(number)
        scores = [
            _score(id_, truth[id_], named, rng, fails=number == 1 and i % 40 == 7) for i, id_ in enumerate(candidates)
        ]
        table = pa.Table.from_pylist(scores, SCORES)
        writer.table(
            number, "score", "scores", table, seconds=41.7 / number, facts={"cached": CACHED if number == 1 else 0}
        )
        kept = selection.keep(table, run.config.idr)
        pq.write_table(kept.select(["id", "score", "expected_score"]), run.path(number, "kept.parquet"))
        writer.done(number, "select", 0.04, rows_in=len(candidates), rows_out=kept.num_rows)
        _inspect(writer, number, candidates=candidates, kept=set(kept["id"].to_pylist()), truth=truth, named=named)
        _show(writer, number, data, table)
        candidates = kept["id"].to_pylist()
        if number == 1:
            writer.done(1, "encode", 22.3, rows_in=kept.num_rows, rows_out=kept.num_rows)
        found = training_trace.write(run, number, data, kept.num_rows)
        writer.done(number, "train", 143.2 - 20 * number, rows_in=kept.num_rows, facts=found)
        _generate(writer, number, dev)
        _criticise(writer, number, dev)
        named = feedback[number - 1]
        Path(run.path(number, "feedback.txt")).write_text(named, "utf-8")
        writer.done(number, "feedback", 0.8, rows_in=len(dev), rows_out=1, facts={"feedback": named})
        _audit(writer, number, dev)


def _inspect(
    writer: _Writer,
    number: int,
    *,
    candidates: list[str],
    kept: set[str],
    truth: dict[str, dict[str, object]],
    named: str,
) -> None:
    """As inspection.inspect writes it; the oracle's critique is the truth."""
    settings, rng = writer.run.config.idr, np.random.default_rng(200 + number)
    ids = inspection.sample(candidates, settings.inspect, writer.run.config.seed)
    Path(writer.run.path(number, "inspection")).mkdir()
    pq.write_table(pa.table({"id": ids}), writer.run.path(number, "inspection", "rows.parquet"))
    rows = [{"id": id_, "flaws": list(truth[id_]["flaws"]), "comment": "kitchen", "error": None} for id_ in ids]  # type: ignore[call-overload]
    critiques = pa.Table.from_pylist(rows, CRITIQUES)
    files = {"critiques": writer.files(number, "inspection/critiques", critiques)}
    effect = None
    if named:
        unfed = pa.Table.from_pylist([_score(id_, truth[id_], "", rng, fails=False) for id_ in ids], SCORES)
        files["without-feedback"] = writer.files(number, "inspection/without-feedback", unfed)
        effect = inspection.effect(set(ids), kept, unfed, settings)
    flaws = inspection.flaw_shares(critiques, kept, FLAWS)
    facts = {"rows": len(ids), "feedback": effect, "flaws": flaws, "files": files}
    writer.done(number, "inspect", 2.9, rows_in=len(candidates), rows_out=len(ids), facts=facts)


def _show(writer: _Writer, number: int, data: Path, scores: pa.Table) -> None:
    """As chosen.choose_from writes it."""
    if not writer.run.config.idr.exemplars:
        return
    rows = {row["id"]: row for row in pq.read_table(data / "train", columns=["id", "name", "image"]).to_pylist()}
    picked = exemplars.choose(scores, writer.run.config.idr.exemplars)
    Path(writer.run.path(number, "exemplars")).mkdir()
    table = pa.Table.from_pylist([{**rows[id_], "score": score} for id_, score in picked])
    pq.write_table(table, writer.run.path(number, "exemplars", FILE))
    writer.done(number, "exemplars", 0.1, rows_in=scores.num_rows, rows_out=len(picked))


def _score(
    id_: str, truth: dict[str, object], named: str, rng: np.random.Generator, *, fails: bool
) -> dict[str, object]:
    """Lenient by nature, strict about what the feedback names; noise of about half a point."""
    if fails:
        return {"id": id_, "score": None, "expected_score": None, "entropy": None, "reason": None, "error": HARD_ROW}
    mild = 1.5 * len(truth["flaws"])  # type: ignore[arg-type]
    strict = sum(1.6 for flaw in truth["flaws"] if flaw in named)  # type: ignore[attr-defined]
    expected = float(np.clip(4.9 - mild * 0.7 - strict + rng.normal(0, 0.4), 1, 5))
    return {
        "id": id_,
        "score": round(expected),
        "expected_score": expected,
        "entropy": 0.4,
        "reason": None,
        "error": None,
    }


def _generate(writer: _Writer, number: int, dev: list[dict[str, object]]) -> None:
    rows = []
    for i, row in enumerate(dev):
        cutout = np.asarray(Image.open(_bytes(row["cutout"])))
        rng = np.random.default_rng([number, i])
        right = rng.random() < SKILL[number]
        scene = RIGHT_SCENE[str(row["category"])] if right else sorted(SCENE_RENDERERS)[int(rng.integers(8))]
        background = draw_scene(scene, rng).filter(ImageFilter.GaussianBlur(1.6 - 0.45 * number))
        mask = cutout[..., 3:] / 255
        picture = (cutout[..., :3] * mask + np.asarray(background) * (1 - mask)).astype(np.uint8)
        broken = i == 3 and number == 1
        rows.append(
            {
                "id": row["id"],
                "name": row["name"],
                "category": row["category"],
                "image": None if broken else {"bytes": encode_png(picture), "path": None},
                "cutout": row["cutout"],
                "error": "the worker ran out of memory" if broken else None,
            }
        )
    writer.table(number, "generate", "generated", pa.Table.from_pylist(rows, GENERATED), seconds=18.6)
    facts = {
        **METRICS[number],
        "images": len(dev) - (number == 1),
        "left_out": int(number == 1),
        "fid_images": len(dev),
        "fid_features": 64,
    }
    writer.done(number, "measure", 4.2, rows_in=len(dev), rows_out=len(dev), facts=facts)


def _criticise(writer: _Writer, number: int, dev: list[dict[str, object]]) -> None:
    rng = np.random.default_rng(100 + number)
    chances = np.array([0.9, 0.15, 0.3, 0.1, 0.8]) * (1 - SKILL[number])
    rows = []
    for row in dev:
        flaws = [flaw for flaw, chance in zip(FLAWS, chances, strict=True) if rng.random() < chance]
        rows.append({"id": row["id"], "flaws": flaws, "comment": "kitchen", "error": None})
    writer.table(number, "critique", "critiques", pa.Table.from_pylist(rows, CRITIQUES), seconds=9.4)


def _audit(writer: _Writer, number: int, dev: list[dict[str, object]]) -> None:
    """The selecting judge is pleased with a quarter more of the pictures in each round, the held-out one is not."""
    if writer.run.config.held_out_judge is None:
        return
    pleased = [place / len(dev) < 0.25 * (1 + number) for place in range(len(dev))]
    both = [bool(place % 4 == 0) for place in range(len(dev))]
    values = pa.table(
        {
            "id": [str(row["id"]) for row in dev],
            "available_rate_selecting": [float(one or other) for one, other in zip(pleased, both, strict=True)],
            "available_rate_held_out": list(map(float, both)),
            "judge_score_selecting": [3.0 + number * 0.01] * len(dev),
            "judge_score_held_out": [2.5 + number * 0.01 + 0.2 * (place % 2) for place in range(len(dev))],
        }
    )
    folder = Path(writer.run.path(number, "audit"))
    folder.mkdir()
    pq.write_table(values, folder / "values.parquet")
    facts = {"figures": judge_gap.figures(values), "held_out": "/models/another-judge", "passes": {}}
    writer.done(number, "audit", 6.1, rows_in=len(dev), rows_out=len(dev), files=["values.parquet"], facts=facts)


def _bytes(image: object) -> io.BytesIO:
    return io.BytesIO(image["bytes"])  # type: ignore[index]
