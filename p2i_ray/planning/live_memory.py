"""Measure the memory that tensors take while a piece of code runs, counted operation by operation.

It counts fake tensors (torch's FakeTensorMode) as well as real ones, so a step that needs 40 GB can be measured on a
machine that has 1.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Within `with`: bytes of the tensors that operations made and that are still there, now and at the most.

    Tensors that were there before count from their first appearance as an operation's result; see `leave_out`.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._sizes: dict[int, int] = {}  # by storage: views share one

    def leave_out(self, tensor: torch.Tensor) -> None:
        """Don't count this tensor, nor views of it."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        self.now -= self._sizes.pop(key, 0)
        self._sizes[key] = 0
        weakref.finalize(storage, self._gone, key)

    def __torch_dispatch__(
        self, operation: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, torch.Tensor):
                self._count(value.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)
