"""Whether pictures are measured by the very CLIP that training aligned prompts with."""

from __future__ import annotations

import logging
from collections.abc import Collection

from p2i_ray.config import Config
from p2i_ray.encoders import weight_files
from p2i_ray.storage import locations

REWARDED = ("clip_c_i", "clip_c_b")  # cosines of that CLIP's features, as Eq. 4 has them


def warn(config: Config, metrics: Collection[str]) -> None:
    """Say so in the log: such metrics rise with what was trained for, whether or not pictures get better.

    Args:
        config: the settings of a training, or those that a model to be measured was trained with.
        metrics: that are going to be measured.
    """
    rewarded = [name for name in REWARDED if name in metrics]
    trained, measuring = map(locations.absolute, (config.diffusion.clip, config.evaluate.clip))
    if not rewarded or not config.train.contrastive_weight:
        return
    if weight_files.same(trained, measuring, weight_files.TRANSFORMERS):
        logging.getLogger(__name__).warning(
            "evaluate.clip=%s has the weights of diffusion.clip, which training aligns prompts with: %s favour a model "
            "so trained; set evaluate.clip to another CLIP",
            *(config.evaluate.clip, " and ".join(rewarded)),
        )
