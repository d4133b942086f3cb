"""A Docker or Podman daemon: what is asked of it, with answers and errors in our own words."""
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from occystrap_core import ImageNotFound, OutputError, Settings
from occystrap_core.files import ReadAhead
from occystrap_core.oci import Digest, Platform, Reference, required_field
from occystrap_docker.connection.address import find_address
from occystrap_docker.connection.answers import loaded_image
from occystrap_docker.connection.failures import require_success, translated
from occystrap_docker.daemon.export_stream import Exported
from occystrap_docker.daemon.image_list import Listed, listed
from occystrap_docker.daemon.queries import Asking, location

if TYPE_CHECKING:
    from docker import APIClient
    from requests import Response

_LOG = logging.getLogger('occystrap.docker')
_SLOWEST = 10 << 20
"""Bytes a second that any daemon manages: it prepares a whole archive before it sends, or after it got, the bytes."""
LOADING = 'loading the image'
_LISTING, _DESCRIBING = 'listing its images', 'describing itself'
_PLATFORM = ('Os', 'Architecture', 'Variant')
_NO_CREDENTIALS = 'e30='
"""An empty JSON object in base64: Docker refuses a push without any."""
_CONTAINERD = ['driver-type', 'io.containerd.snapshotter.v1']


@dataclass(frozen=True)
class ImageFacts:
    """What a daemon says of an image; `size` in bytes, roughly.

    With containerd's store `id` is the digest of a manifest or an index; `in_directories` shows that it is another.
    There `manifest` may be known as well, and `blobs`: the diff_ids of the layers by the digests of their blobs.
    """

    id: Digest
    diff_ids: tuple[Digest, ...]
    tags: tuple[str, ...]
    size: int
    platform: Platform | None = None
    in_directories: bool = False
    manifest: Digest | None = None
    blobs: Mapping[Digest, Digest] | None = field(default=None, compare=False)

    @property
    def root(self) -> Digest:
        """The digest that leads to the image's config, and to no other's where that is known."""
        return self.manifest or self.id


class Daemon:
    """Connects when first asked something. All methods raise ServiceError when the daemon does not do its part."""

    def __init__(self, options: Mapping[str, Any], settings: Settings) -> None:
        """`options` are those for connections, any of them may be missing; raises UsageError."""
        self.address, self._settings = find_address(options), settings
        self._connected: 'APIClient | None' = None
        self._lock = threading.Lock()
        self._asking = Asking(self.address, lambda: self._api, settings.timeout, settings.least_rate)

    @property
    def _api(self) -> 'APIClient':
        with self._lock:  # images that a pattern found are opened at once
            if self._connected is None:
                from occystrap_docker.connection.client import connect
                self._connected = connect(self.address, self._settings.timeout)
                self._connected.hooks['response'].append(_log)
            return self._connected

    def ping(self) -> None:
        """Ask the daemon for a sign of life."""
        with translated(self.address, 'connecting'):
            self._api.ping()

    def find(self, name: str, seconds: float | None = None) -> ImageFacts | None:
        """Return what the daemon knows of the image with this name or ID, None if it has none.

        It may take `seconds` for the answer, else as long as the user has patience.
        """
        document = self._asking.if_there(f'inspecting {name}', 'images', name, 'json', seconds=seconds)
        return None if document is None else _facts(document, name)

    def images(self) -> list[Listed]:
        """Return all images that have a name, by each of them, and those that have lost theirs."""
        return listed(self._asking.document(_LISTING, 'images', 'json'), str(self.address))

    def require(self, name: str) -> ImageFacts:
        """Return what `find` does; raises ImageNotFound."""
        facts = self.find(name)
        if facts is None:
            command = self.address.engine.name
            raise ImageNotFound(f'the daemon at {self.address} has no image {name}: `{command} images` lists what '
                                f'there is, `{command} pull {name}` fetches it')
        return facts

    @cached_property
    def names_images_by_manifest(self) -> bool:
        """Whether images lie in containerd's store, where the ID is the digest of a manifest or an index."""
        return _CONTAINERD in (self._asking.document(_DESCRIBING, 'info').get('DriverStatus') or [])

    def may_keep_others(self, facts: ImageFacts) -> bool:
        """Whether an export may hold the image for other platforms, too."""
        return not facts.in_directories and self.names_images_by_manifest

    def image_ids(self, seconds: float | None = None) -> list[Digest]:
        """Return the IDs of all images, those without a name too, the newest first; `seconds` as for `find`."""
        found = self._asking.document(_LISTING, 'images', 'json', seconds=seconds, all='1')
        return list(dict.fromkeys(Digest(required_field(each, 'Id', str, 'an image of the daemon')) for each in found))

    @cached_property
    def finds_layers_by_chain(self) -> bool:
        """Whether an archive may leave out layers that are there upon the same lower ones: Docker's own store looks
        for them before it looks into the archive; containerd's and Podman do not."""
        components = self._asking.document(_DESCRIBING, 'version').get('Components') or []
        return not self.names_images_by_manifest and any(
            isinstance(each, dict) and each.get('Name') == 'Engine' for each in components)

    def export(self, facts: ImageFacts) -> ReadAhead:
        """Return the image as the archive that `docker save` gives, received on a thread of its own; close it."""
        doing, seconds = f'exporting {facts.id}', self.patience(facts.size)
        begin = partial(self._asking.stream, doing, 'images', facts.id, 'get', seconds=seconds)
        return ReadAhead(Exported(begin, self.address, doing, self._settings.cancellation.check))

    def load(self, archive: Iterable[bytes]) -> Digest:
        """Send an archive to the daemon and return the ID of the image that it made of it.

        Raises OutputError with the daemon's own words when it refuses. Waits for an answer as long as there is none.
        """
        with translated(self.address, LOADING):
            response = self._api.post(
                self._url('images', 'load'), params={'quiet': '1'}, data=archive, stream=True,
                headers={'Content-Type': 'application/x-tar'}, timeout=(self._settings.timeout, None))
            with closing(response):
                return loaded_image(response.status_code, response.iter_lines(), str(self.address))

    def tag(self, image_id: Digest, reference: Reference) -> None:
        """Let the tag point at the image, wherever it pointed before."""
        with translated(self.address, f'tagging {reference.familiar}'):
            if not self._api.tag(image_id, reference.name, reference.tag):
                raise OutputError(f'the daemon at {self.address} did not tag {image_id} as {reference.familiar}')

    def begin_push(self, tag: Reference) -> 'Response':
        """Have the daemon push what it has under this tag, by plain HTTP; the answer tells, line by line, how it goes.

        Raises what `translated` translates. Podman alone reads tlsVerify; no credentials go along.
        """
        response = self._api.post(
            self._url('images', tag.name, 'push'), params={'tag': tag.tag, 'tlsVerify': 'false'}, stream=True,
            headers={'X-Registry-Auth': _NO_CREDENTIALS}, timeout=(self._settings.timeout, None))
        require_success(response)
        return response

    def untag(self, image_id: Digest, tag: Reference, seconds: float) -> bool:
        """Take a tag off an image, within `seconds`; returns False if it has no other name.

        Then the tag is left, since a daemon removes an image with its last name.
        """
        with translated(self.address, f'removing the tag {tag.familiar}'):
            end = time.monotonic() + seconds
            facts = self.find(image_id, seconds)
            if facts is None or tag.familiar not in facts.tags:
                return True
            if len(facts.tags) == 1:
                return False
            self._remove(tag.familiar, left(end))
            return True

    def remove_untagged(self, image_id: Digest, seconds: float) -> None:
        """Remove the image unless something names it, within `seconds`."""
        end = time.monotonic() + seconds
        facts = self.find(image_id, seconds)
        if facts and not facts.tags:
            with translated(self.address, f'removing {image_id}'):
                self._remove(image_id, left(end))

    def close(self) -> None:
        """Let go of the connections."""
        if self._connected:
            self._connected.close()

    def _remove(self, name: str, seconds: float) -> None:
        with closing(self._api.delete(self._url('images', name), timeout=seconds)) as response:
            require_success(response)

    def _url(self, *parts: str) -> str:
        return f'{self._api.base_url}/v{self._api.api_version}{location(*parts)}'

    def patience(self, size: int) -> float:
        """Return for how many seconds the daemon may be silent over an image of `size` bytes."""
        return self._settings.timeout + size / _SLOWEST


def left(end: float) -> float:
    """Return the seconds until `end` of the monotonic clock, at least a little, as none would mean for ever."""
    return max(0.05, end - time.monotonic())


def _log(response: 'Response', **more: object) -> None:
    _LOG.debug('%s %s %s', response.request.method, response.request.path_url, response.status_code)


def _facts(document: dict[str, Any], name: str) -> ImageFacts:
    what = f'what the daemon says of {name}'
    layers = (document.get('RootFS') or {}).get('Layers') or []
    return ImageFacts(Digest(required_field(document, 'Id', str, what)), tuple(Digest(layer) for layer in layers),
                      tuple(document.get('RepoTags') or ()), int(document.get('Size') or 0),
                      _platform(document), bool((document.get('GraphDriver') or {}).get('Data')))


def _platform(document: dict[str, Any]) -> Platform | None:
    os, architecture, variant = (str(document.get(key) or '') for key in _PLATFORM)
    return Platform(os, architecture, variant) if os and architecture else None
