"""A table of a comparison: rows and columns of figures with their spread, differences, and the paper's own."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from p2i_ray.evaluate.paired import Difference

LABELS = {
    "fid": "FID",
    "fid_clean": "FID (clean)",
    "kid": "KID",
    "cmmd": "CMMD",
    "fd_dinov2": "FD-DINOv2",
    "clip_c_i": "CLIP-c-I",
    "clip_c_b": "CLIP-c-B",
    "pickscore": "PickScore",
    "hpsv2": "HPSv2.1",
    "aesthetics": "Aesthetics",
    "vqa_score": "VQAScore",
    "scene_fit": "scene fit",
}
DISTANCES = {"fid", "fid_clean", "kid", "cmmd", "fd_dinov2", "category_distance"}
LOWER = DISTANCES | {"product_colour", "product_expansion", "seam_contrast"}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cell(_Part):
    """One figure."""

    mean: float | None = None  # over the seeds
    spread: float | None = None  # standard deviation over the seeds; none: of one seed
    seeds: int = 0
    paper: float | None = None  # the paper's figure
    difference: Difference | None = None


class Column(_Part):
    """One column."""

    key: str
    label: str
    lower_is_better: bool | None = False  # none: neither

    @property
    def title(self) -> str:
        """With an arrow to where it is better."""
        if self.lower_is_better is None:
            return self.label
        return f"{self.label} {'↓' if self.lower_is_better else '↑'}"


class Row(_Part):
    """One row."""

    key: str
    label: str
    cells: dict[str, Cell]  # by column; a missing one is empty
    note: str = ""


class Table(_Part):
    """One table."""

    key: str  # in files: table-1
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def metric_column(metric: str, prefix: str = "", where: str = "") -> Column:
    """The column of a metric.

    Args:
        metric: its name.
        prefix: before it in the column's key, where a metric has several columns.
        where: of the figures, for the title.
    """
    label = LABELS.get(metric, metric.replace("_", " "))
    label = f"{label}, {where}" if where else label
    return Column(key=f"{prefix}{metric}", label=label, lower_is_better=metric in LOWER)
