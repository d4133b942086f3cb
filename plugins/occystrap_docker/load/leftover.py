"""The image without a name that a daemon may still make of a whole archive when nobody waits for it any more."""
import time
from collections.abc import Iterator, Sequence

from occystrap_core import ServiceError
from occystrap_core.oci import Digest
from occystrap_docker.daemon.daemon import Daemon, left

_LOOK = 0.2


class Leftover:
    """What may come of an archive. Made before its last byte is sent, so that older images are left alone."""

    def __init__(self, daemon: Daemon, image_id: Digest, diff_ids: Sequence[Digest]) -> None:
        """`image_id` is the config's digest; with containerd's store the image is known by its layers alone."""
        self._daemon, self._image_id, self._diff_ids = daemon, image_id, tuple(diff_ids)
        self._listed = daemon.names_images_by_manifest
        self._before = frozenset(daemon.image_ids() if self._listed else [image_id] if daemon.find(image_id) else ())

    def was_there(self, image_id: Digest) -> bool:
        """Tell whether the daemon had this image before."""
        return image_id in self._before

    def remove(self, seconds: float) -> None:
        """Wait for the image and remove it; raises ServiceError, saying what to do, if that is not done in `seconds`.
        """
        if self.was_there(self._image_id):
            return
        end, refused = time.monotonic() + seconds, ''
        while time.monotonic() < end:
            found: Digest | None = None
            try:
                if found := next(self._found(end), None):
                    self._daemon.remove_untagged(found, left(end))
                    return
            except ServiceError as error:  # busy, most likely with just this
                refused = f'image {found} is left without a name: {error}' if found else refused
            time.sleep(min(_LOOK, left(end)))
        command = self._daemon.address.engine.name
        raise ServiceError(refused or f'the daemon at {self._daemon.address} had got all of the image, and may still '
                                      f'make {self._image_id} of it, without a name: `{command} images --filter '
                                      f'dangling=true` lists such images, `{command} rmi ID` removes them')

    def _found(self, end: float) -> Iterator[Digest]:
        """Yield what the daemon has made by now, if it has."""
        if not self._listed:
            if self._daemon.find(self._image_id, left(end)):
                yield self._image_id
            return
        for image_id in self._daemon.image_ids(left(end)):
            if not self.was_there(image_id):
                facts = self._daemon.find(image_id, left(end))
                if facts and facts.diff_ids == self._diff_ids:
                    yield image_id
