"""The image without a name that a daemon may still make of a whole archive when nobody waits for it any more."""
import time
from collections.abc import Sequence
from contextlib import suppress

from occystrap_core import ServiceError
from occystrap_core.oci import Digest
from occystrap_docker.daemon import Daemon

_LOOK = 0.2


class Leftover:
    """What may come of an archive. Made before its last byte is sent, so that older images are left alone."""

    def __init__(self, daemon: Daemon, image_id: Digest, diff_ids: Sequence[Digest]) -> None:
        """`image_id` is the config's digest; with containerd's store the image is known by its layers alone."""
        self._daemon, self._image_id, self._diff_ids = daemon, image_id, tuple(diff_ids)
        self._before = frozenset(daemon.image_ids())

    def was_there(self, image_id: Digest) -> bool:
        """Tell whether the daemon had this image before."""
        return image_id in self._before

    def remove(self, seconds: float) -> None:
        """Wait for the image and remove it; raises ServiceError, saying what to do, if it has not come in `seconds`."""
        if self.was_there(self._image_id):
            return
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            with suppress(ServiceError):  # busy, most likely with just this
                for image_id in self._daemon.image_ids(left):
                    if not self.was_there(image_id) and self._is_it(image_id, left):
                        self._daemon.remove_untagged(image_id, max(left, _LOOK))
                        return
            time.sleep(_LOOK)
        command = self._daemon.address.engine.name
        raise ServiceError(f'the daemon at {self._daemon.address} had got all of the image, and may still make '
                           f'{self._image_id} of it, without a name: `{command} images --filter dangling=true` lists '
                           f'such images, `{command} rmi ID` removes them')

    def _is_it(self, image_id: Digest, seconds: float) -> bool:
        facts = self._daemon.find(image_id, seconds)
        return facts is not None and facts.diff_ids == self._diff_ids
