"""Let `import torchvision` work where only its CUDA build is installed and torch is a CPU build.

There torchvision's compiled library can't load, and the import dies on two operators it expects to be defined. This
finder, put in place by a .pth file of the environment (see `make setup`), declares just those two right before the
first import of torchvision, in every process, and imports torch in none that doesn't need it. Where the library
loads, nothing is declared.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared = []  # torch forgets a library's operators when the object goes


class _Finder:
    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        if name == "torchvision":
            sys.meta_path.remove(self)  # once; torch's own imports must not come here again
            _declare_missing_operators()


def _declare_missing_operators() -> None:
    spec = importlib.machinery.PathFinder.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    import torch

    for library in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
            return
        except OSError:
            break
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for operator in _OPERATORS:
        declared.define(operator)
    _declared.append(declared)


sys.meta_path.insert(0, _Finder())
