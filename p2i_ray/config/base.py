"""What every group of settings is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """A group of settings: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Reserving(Settings):
    """A group whose processes reserve hardware. These settings say where they run, never what comes out."""

    accelerator_type: str | None = Field(
        None, min_length=1, description="accelerators that a process's node must have, as Ray names them, e.g. A100"
    )
    memory_gib: float = Field(0, ge=0, description="main memory a process reserves, GiB; 0: not reserved")
