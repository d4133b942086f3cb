"""The layers that a daemon has already: those of its images with the same lower layers."""
import threading
from collections.abc import Sequence

from occystrap_core import Settings
from occystrap_core.oci import Digest
from occystrap_docker.daemon.daemon import Daemon

_MOST = 500
"""Limit of images that are inspected, the newest first; each takes a request of one or two milliseconds."""


class KnownLayers:
    """The layers of a daemon's images; each image is inspected once in a run, since its layers never change."""

    def __init__(self) -> None:
        self._images: dict[Digest, tuple[Digest, ...]] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, daemon: Daemon, settings: Settings) -> 'KnownLayers':
        """Return the run's record of this daemon."""
        return settings.shared.get((KnownLayers, daemon.address), cls)

    def among(self, diff_ids: Sequence[Digest | None], daemon: Daemon) -> set[Digest]:
        """Return the layers of an image that the daemon has with all layers below them; raises ServiceError.

        `diff_ids` are its layers, lowest first, None where not known. A layer that the image has twice is returned only
        if the daemon has it in both places.
        """
        with self._lock:
            images = [self._layers_of(daemon, image_id) for image_id in daemon.image_ids()[:_MOST]]
        count = max((_common(layers, diff_ids) for layers in images), default=0)
        return {each for each in diff_ids[:count] if each and each not in diff_ids[count:]}

    def _layers_of(self, daemon: Daemon, image_id: Digest) -> tuple[Digest, ...]:
        if image_id not in self._images:
            facts = daemon.find(image_id)
            self._images[image_id] = facts.diff_ids if facts else ()
        return self._images[image_id]


def _common(layers: Sequence[Digest], diff_ids: Sequence[Digest | None]) -> int:
    count = 0
    for present, expected in zip(layers, diff_ids):
        if present != expected:
            break
        count += 1
    return count
