"""Which layers a daemon has already: those that one of its images has, upon the same lower ones."""
import threading
from collections.abc import Sequence

from occystrap_core import Settings
from occystrap_core.oci import Digest
from occystrap_docker.daemon.daemon import Daemon

_MOST = 500
"""Images that are looked at, the newest first: each is a request of a millisecond or two."""


class KnownLayers:
    """The layers of a daemon's images; what an image has never changes, so each is asked for once in a run."""

    def __init__(self) -> None:
        self._images: dict[Digest, tuple[Digest, ...]] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, daemon: Daemon, settings: Settings) -> 'KnownLayers':
        """Return what the run knows of this daemon."""
        return settings.shared.get((KnownLayers, daemon.address), cls)

    def among(self, diff_ids: Sequence[Digest | None], daemon: Daemon) -> set[Digest]:
        """Return those of an image's layers that the daemon has upon all that is below them; raises ServiceError.

        `diff_ids` are its layers, lowest first, None for what is not known. One that comes twice is among them only if
        the daemon has it in both places.
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
    for mine, wanted in zip(layers, diff_ids):
        if mine != wanted:
            break
        count += 1
    return count
