"""The base classes of settings, and the marks that say what a setting may change."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Effect(Enum):
    """The effect of changing a setting; each setting of a run is marked with one where it is declared."""

    RESULT = "result"  # it makes another result: it stays while steps that depend on it are done
    ADJUSTABLE = "adjustable"  # it may change in the middle of a run; steps that are done keep the value they had
    CONTENT = "content"  # it says where something lies: the place may change, its content is fingerprinted
    RUNTIME = "runtime"  # it changes where, when and at what cost a run works, the result at most by rounding


Result = Annotated[T, Effect.RESULT]
Adjustable = Annotated[T, Effect.ADJUSTABLE]
Content = Annotated[T, Effect.CONTENT]
Runtime = Annotated[T, Effect.RUNTIME]


class Settings(BaseModel):
    """A group of settings: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Reserving(Settings):
    """A group whose processes reserve hardware. These settings say where they run and never change the result."""

    accelerator_type: Runtime[str | None] = Field(
        None, min_length=1, description="accelerators that a process's node must have, as Ray names them, e.g. A100"
    )
    memory_gib: Runtime[float] = Field(0, ge=0, description="main memory a process reserves, GiB; 0: not reserved")
