"""Settings of the marks that say of a picture that a model made it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from p2i_ray.config.base import Content, Runtime, Settings

SourceType = Literal["composite", "generated"]


class ProvenanceConfig(Settings):
    """Marks of every picture that is handed out; pixels are not changed by them."""

    enabled: Runtime[bool] = Field(
        True,
        description="mark pictures: IPTC's digital source type, and a signed C2PA manifest (false: whoever publishes "
        "them has to)",
    )
    source_type: Runtime[SourceType] = Field(
        "composite",
        description="composite: a real product in a generated scene (compositeWithTrainedAlgorithmicMedia); generated: "
        "trainedAlgorithmicMedia, which some platforms ask for",
    )
    certificate: Content[str | None] = Field(
        None,
        description="PEM file of the signing certificate and its chain, the signing one first (none: one is made at "
        "each start, which nobody trusts)",
    )
    private_key: Content[str | None] = Field(
        None, description="PEM file of its private key, not encrypted: P-256, P-384, P-521, Ed25519 or RSA"
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> ProvenanceConfig:
        if (self.certificate is None) != (self.private_key is None):
            absent = "private_key" if self.private_key is None else "certificate"
            raise ValueError(f"a certificate and its private key belong together; give provenance.{absent}, too")
        return self
