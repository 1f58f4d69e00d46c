"""A method that paints, by name: checked before anything starts, and loaded on a worker.

product2img     a model of this project, with <background>; EPBD-FT is one that was trained without it
sd_inpainting   Stable Diffusion inpainting as published
controlnet      the same with a ControlNet that sees the product's canny edges
ip_adapter      the same with an IP-Adapter that sees the product
powerpaint      PowerPaint v1: Stable Diffusion inpainting with learned words for the task
lama            LaMa, which fills in without a text
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from p2i_ray.config import DiffusionConfig, ImageConfig
from p2i_ray.config.baseline import BaselineConfig, Method
from p2i_ray.diffusion.baselines import extras
from p2i_ray.diffusion.baselines.shown_reference import referred
from p2i_ray.diffusion.model import validation
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.storage import fingerprints, locations

if TYPE_CHECKING:
    from p2i_ray.diffusion.baselines.baseline_sampler import BaselineSampler
    from p2i_ray.diffusion.sampling.painting_method import LoadedMethod
    from p2i_ray.diffusion.sampling.sampler import SamplerOptions


@dataclass(frozen=True)
class Painting:
    """The method that paints, and its settings: a sampling.painting_method.PaintingMethod.

    Attributes:
        diffusion: token, prompt and whether a plain model is to be widened; of product2img alone.
        method: its name.
        settings: of the baselines.
        columns: of rows, with each row's reference and its cutout, where the method sees one.
    """

    diffusion: DiffusionConfig
    method: Method = "product2img"
    settings: BaselineConfig = field(default_factory=BaselineConfig)
    columns: tuple[str, ...] = ()

    @property
    def own(self) -> DiffusionConfig:
        """The settings that the method's model is loaded with: a baseline has no token, and a prompt of its own."""
        if self.method == "product2img":
            return self.diffusion
        return self.diffusion.model_copy(update={"token": None, "prompt": self.settings.prompt, "widen": False})

    @property
    def name(self) -> str:
        """See PaintingMethod."""
        return self.method

    def made_with(self) -> dict[str, Any]:
        """See PaintingMethod."""
        if self.method == "product2img":
            return {}
        found = {"method": self.method, "baseline": self.settings.model_dump(mode="json")}
        files = {one: fingerprints.signature(fingerprints.states(one)) for one in self.parts}
        more = {"baseline_files": files, "columns": list(self.columns)}
        return {**found, **{name: value for name, value in more.items() if value}}

    def request(self, plain: PaintRequest, row: Mapping[str, Any], image: ImageConfig) -> PaintRequest:
        """See PaintingMethod; a row without the reference that its method sees is not painted."""
        return referred(plain, row, self.columns, image) if self.columns else plain

    @property
    def written(self) -> tuple[str, ...]:
        """See PaintingMethod."""
        return ()

    def notes(self, row: Mapping[str, Any]) -> dict[str, str | None]:
        """See PaintingMethod."""
        return {}

    @property
    def parts(self) -> list[str]:
        """Locations of what the method needs beside the model, which all nodes must reach."""
        names = {"controlnet": ["controlnet"], "ip_adapter": ["ip_adapter", "ip_adapter_encoder"]}
        return [part for name in names.get(self.method, []) if (part := getattr(self.anywhere().settings, name))]

    def anywhere(self) -> Painting:
        """See PaintingMethod."""
        given = {name: getattr(self.settings, name) for name in ("controlnet", "ip_adapter", "ip_adapter_encoder")}
        absolute = {name: locations.absolute(part) for name, part in given.items() if part}
        return replace(self, settings=self.settings.model_copy(update=absolute))

    def check(self, model: str, image: ImageConfig) -> None:
        """See PaintingMethod; the model is a folder, of LaMa an ONNX file."""
        if self.method == "lama":
            extras.check_lama(model)
            return
        validation.check_model(model, image, self.own.widen)
        validation.check_prompt(model, self.own)
        if self.method == "controlnet":
            extras.check_controlnet(self.settings, model)
        elif self.method == "ip_adapter":
            extras.check_ip_adapter(self.settings, model)
        elif self.method == "powerpaint":
            extras.check_powerpaint(model)

    def load(self, model: str, options: SamplerOptions) -> LoadedMethod:
        """See PaintingMethod."""
        if self.method == "lama":
            from p2i_ray.diffusion.baselines.lama import Lama

            return Lama(model, options)
        if kind := self._baseline():
            return kind(model, self.own, options, settings=self.settings)
        from p2i_ray.diffusion.sampling.sampler import Sampler

        return Sampler(model, self.own, options)

    def _baseline(self) -> type[BaselineSampler] | None:
        """The method's own sampler, if it has one."""
        match self.method:
            case "controlnet":
                from p2i_ray.diffusion.baselines.controlnet import ControlNetSampler

                return ControlNetSampler
            case "ip_adapter":
                from p2i_ray.diffusion.baselines.ip_adapter import IpAdapterSampler

                return IpAdapterSampler
            case "powerpaint":
                from p2i_ray.diffusion.baselines.powerpaint import PowerPaintSampler

                return PowerPaintSampler
        return None
