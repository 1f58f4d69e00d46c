"""Generate: I_dev, a background by M_i for every product of D_dev."""

from __future__ import annotations

from p2i_ray.data import reading
from p2i_ray.run.manifests import Counts
from p2i_ray.run.step_table import GENERATE
from p2i_ray.steps.round import Output, Round, counts


def generate(this: Round, model: str) -> Output:
    """Paint every product of D_dev with a model folder."""
    from p2i_ray.diffusion.baselines.methods import Painting
    from p2i_ray.diffusion.sampling import generate as sampling

    config, split = this.run.config, this.run.config.idr.dev_split
    total = reading.count(this.data, split)

    def work(out: str) -> Counts:
        rows = reading.read_split(this.data, split)
        with this.progress(GENERATE, total, images=1) as progress:
            written = sampling.generate(
                rows,
                model,
                settings=config.generate,
                image=config.image,
                painting=Painting(config.diffusion),
                seed=config.seed,
                out=out,
                progress=progress,
            )
        return counts(total, written)

    return this.once(GENERATE, work)
