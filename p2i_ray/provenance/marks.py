"""A job's marks for its pictures, as they are handed to workers: light to import, without C2PA's library."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2i_ray.config.provenance import ProvenanceConfig
from p2i_ray.storage import locations

if TYPE_CHECKING:
    from p2i_ray.provenance.marker import Marker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Marks:
    """Settings whose files every node reaches, and what is said of the model.

    Attributes:
        settings: what marks there are.
        model: the model's fingerprint.
    """

    settings: ProvenanceConfig
    model: str

    def marker(self) -> Marker:
        """The encoder of pictures with these marks, in this process."""
        from p2i_ray.provenance.marker import Marker

        return Marker(self.settings, self.model)


def checked(settings: ProvenanceConfig, model: str) -> Marks:
    """The marks of a job, whose certificate can sign; warns where nobody trusts it.

    Args:
        settings: of the job.
        model: the model's fingerprint.

    Raises:
        UserError: the certificate can't be used.
    """
    given = {name: getattr(settings, name) for name in ("certificate", "private_key")}
    paths = {name: locations.absolute(one) for name, one in given.items() if one}
    own = settings.model_copy(update=paths)
    if own.enabled:
        from p2i_ray.provenance.certificate import credentials

        if credentials(own).made:
            log.warning(
                "pictures are signed by a certificate that is made at each start: changes are found out, but nobody "
                "can tell who made them; give provenance.certificate and provenance.private_key"
            )
    return Marks(own, model)
