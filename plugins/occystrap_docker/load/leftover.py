"""The untagged image that a daemon may still make of a complete archive after the copy was cancelled."""
import time
from collections.abc import Iterator, Sequence

from occystrap_core import ServiceError
from occystrap_core.oci import Digest
from occystrap_docker.daemon.daemon import Daemon, seconds_until

_LOOK = 0.2


class Leftover:
    """The image that may come of an archive. Made before its last byte is sent, so that older images are kept."""

    def __init__(self, daemon: Daemon, image_id: Digest, diff_ids: Sequence[Digest]) -> None:
        """`image_id` is the config's digest; with containerd's store the image is recognised by its layers only."""
        self._daemon, self._image_id, self._diff_ids = daemon, image_id, tuple(diff_ids)
        self._listed = daemon.names_images_by_manifest
        self._before = frozenset(daemon.image_ids() if self._listed else [image_id] if daemon.find(image_id) else ())

    def was_there(self, image_id: Digest) -> bool:
        """Return whether the daemon had this image before."""
        return image_id in self._before

    def remove(self, seconds: float) -> None:
        """Wait for the image and remove it; raises ServiceError, with instructions, if that takes over `seconds`."""
        if self.was_there(self._image_id):
            return
        end, refused = time.monotonic() + seconds, ''
        while time.monotonic() < end:
            found: Digest | None = None
            try:
                if found := next(self._found(end), None):
                    self._daemon.remove_untagged(found, seconds_until(end))
                    return
            except ServiceError as error:  # the daemon is busy, most likely with this image
                refused = f'image {found} is left without a name: {error}' if found else refused
            time.sleep(min(_LOOK, seconds_until(end)))
        command = self._daemon.address.engine.name
        raise ServiceError(refused or f'the daemon at {self._daemon.address} received all of the image, and may still '
                                      f'load it as untagged {self._image_id}: `{command} images --filter '
                                      f'dangling=true` lists untagged images, `{command} rmi ID` removes them')

    def _found(self, end: float) -> Iterator[Digest]:
        """Yield the ID of the image, if the daemon has made it by now."""
        if not self._listed:
            if self._daemon.find(self._image_id, seconds_until(end)):
                yield self._image_id
            return
        for image_id in self._daemon.image_ids(seconds_until(end)):
            if not self.was_there(image_id):
                facts = self._daemon.find(image_id, seconds_until(end))
                if facts and facts.diff_ids == self._diff_ids:
                    yield image_id
