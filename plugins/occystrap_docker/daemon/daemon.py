"""A Docker or Podman daemon: its operations, with typed answers and errors."""
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from occystrap_core import ImageNotFound, Settings
from occystrap_core.files import Patience, ReadAhead
from occystrap_core.oci import Digest, Reference, required_field
from occystrap_docker.connection.address import find_address
from occystrap_docker.connection.answers import lines_of, loaded_image
from occystrap_docker.connection.failures import refusal, translated
from occystrap_docker.connection.patient_answer import LEAST_RATE
from occystrap_docker.connection.silence import Silence
from occystrap_docker.daemon.export_stream import Exported
from occystrap_docker.daemon.image_list import ImageFacts, Listed, facts_of, listed
from occystrap_docker.daemon.itself import Itself
from occystrap_docker.daemon.queries import Queries, location

if TYPE_CHECKING:
    from requests import Response

    from occystrap_docker.connection.limited_client import LimitedClient

_LOG = logging.getLogger('occystrap.docker')
_SLOWEST = 10 << 20
"""Bytes per second that any daemon processes: it prepares a whole archive before sending it, or after receiving it."""
LOADING = 'loading the image'
_LISTING = 'listing its images'
_ANY = Reference('any')
_NO_CREDENTIALS = 'e30='
"""An empty JSON object in base64: Docker refuses a push without credentials."""
_LINE, _SHORT = 512, 64 << 10
"""Bytes to read at once from an answer in lines, and the size of a short answer."""


class Daemon:
    """A daemon, connected at the first request. All methods raise ServiceError when the daemon fails or refuses."""

    def __init__(self, options: Mapping[str, Any], settings: Settings, image: Reference = _ANY) -> None:
        """`options` are those for connections, each optional; raises UsageError."""
        self.address, self._settings = find_address(options).of_image(image), settings
        self._connected: 'LimitedClient | None' = None
        self._lock = threading.Lock()
        self._silence = Silence.of(self.address, settings)
        self._queries = Queries(self.address, lambda: self._api, settings.timeout, settings.least_rate, self._silence)
        self.itself = Itself(self._queries, settings.shared.get((Itself, self.address.url), dict))

    @property
    def _api(self) -> 'LimitedClient':
        with self._lock:  # several images are opened in parallel
            if self._connected is None:
                from occystrap_docker.connection.client import connect
                self._connected = connect(self.address, self._settings)
                self._connected.hooks['response'].append(_log)
            return self._connected

    def ping(self) -> None:
        """Check that the daemon answers."""
        with self._silence.watched(self.address):
            self._ask('connecting', 'GET', '/_ping')

    def find(self, name: str, seconds: float | None = None) -> ImageFacts | None:
        """Return the facts of the image with this name or ID, None if the daemon has none.

        The answer may take `seconds`, by default the timeout of the run.
        """
        document = self._queries.find_document(f'inspecting {name}', 'images', name, 'json', seconds=seconds)
        return None if document is None else facts_of(document, name)

    def description(self, image_id: Digest) -> dict[str, Any]:
        """Return what the daemon says of an image, as `docker inspect` shows it."""
        found = self._queries.document(f'inspecting {image_id}', 'images', image_id, 'json')
        return found if isinstance(found, dict) else {}

    def history(self, image_id: Digest) -> list[dict[str, Any]]:
        """Return the steps that made an image, the oldest first, as `docker history` shows them in its own order."""
        found = self._queries.document(f'reading the history of {image_id}', 'images', image_id, 'history')
        return [each for each in reversed(found) if isinstance(each, dict)] if isinstance(found, list) else []

    def images(self) -> list[Listed]:
        """Return a row for each name of each image, and one for each untagged image."""
        return listed(self._queries.document(_LISTING, 'images', 'json'), str(self.address))

    def require(self, name: str) -> ImageFacts:
        """Return what `find` does; raises ImageNotFound."""
        facts = self.find(name)
        if facts is None:
            command = self.address.engine.name
            elsewhere = f'; for the registry write {self.address.in_registry}' if self.address.in_registry else ''
            raise ImageNotFound(f'the daemon at {self.address} has no image {name}: `{command} images` lists its '
                                f'images, `{command} pull {name}` fetches it{elsewhere}')
        return facts

    @property
    def names_images_by_manifest(self) -> bool:
        """Whether images are in containerd's store, where the ID is the digest of a manifest or an index."""
        return self.itself.names_images_by_manifest

    def may_export_platforms(self, facts: ImageFacts) -> bool:
        """Return whether an export may contain the image for several platforms."""
        return not facts.in_directories and self.names_images_by_manifest

    def image_ids(self, seconds: float | None = None) -> list[Digest]:
        """Return the IDs of all images, untagged ones included, the newest first; `seconds` as for `find`."""
        found = self._queries.document(_LISTING, 'images', 'json', seconds=seconds, all='1')
        return list(dict.fromkeys(Digest(required_field(each, 'Id', str, 'an image of the daemon')) for each in found))

    def read(self, doing: str, *path: str, **parameters: str) -> Any:
        """Return the JSON at `path`; `doing` names the action in errors."""
        return self._queries.document(doing, *path, seconds=None, **parameters)

    def status(self, doing: str, *path: str) -> tuple[int, str]:
        """Return the status of the answer at `path`, whatever it is, and the daemon's message."""
        return self._queries.status(doing, *path)

    def export(self, facts: ImageFacts) -> ReadAhead:
        """Return the image as an archive of `docker save`, received on a thread of its own; the caller closes it."""
        doing, seconds = f'exporting {facts.id}', self.patience(facts.size)
        begin = partial(self._queries.stream, doing, 'images', facts.id, 'get', seconds=seconds)
        return ReadAhead(Exported(begin, self.address, doing, self._settings.cancellation.check))

    def load(self, archive: Iterable[bytes]) -> Digest:
        """Send an archive to the daemon and return the ID of the image that it made of it.

        Raises OutputError with the daemon's own message when it refuses. Waits for the answer without a timeout.
        """
        with translated(self.address, LOADING):
            response = self._api.post(
                self._url('images', 'load'), params={'quiet': '1'}, data=archive, stream=True,
                headers={'Content-Type': 'application/x-tar'}, timeout=(self._settings.timeout, None))
            with closing(response):
                return loaded_image(response.status_code, lines_of(response.iter_content(_LINE)), str(self.address))

    def tag(self, image_id: Digest, reference: Reference) -> None:
        """Set or move the tag to the image."""
        self._ask(f'tagging {reference.familiar}', 'POST', self._path('images', image_id, 'tag'),
                  repo=reference.name, tag=reference.tag)

    def begin_push(self, tag: Reference, doing: str) -> 'Response':
        """Have the daemon push the image with this tag, by plain HTTP; the answer reports progress line by line.

        Raises what `translated` translates; waits without a timeout. Only Podman reads tlsVerify; no credentials are
        sent. `doing` names the action in errors.
        """
        response = self._api.post(
            self._url('images', tag.name, 'push'), params={'tag': tag.tag, 'tlsVerify': 'false'}, stream=True,
            headers={'X-Registry-Auth': _NO_CREDENTIALS}, timeout=(self._settings.timeout, None))
        if response.status_code != HTTPStatus.OK:
            with closing(response):
                raise refusal(response.raw, self.address, doing)
        return response

    def untag(self, image_id: Digest, tag: Reference, seconds: float) -> bool:
        """Remove a tag of an image, within `seconds`; return False, and keep the tag, if it is the only name.

        A daemon removes an image together with its last name.
        """
        end = time.monotonic() + seconds
        facts = self.find(image_id, seconds)
        if facts is None or tag.familiar not in facts.tags:
            return True
        if len(facts.tags) == 1:
            return False
        self._remove(f'the tag {tag.familiar}', tag.familiar, seconds_until(end))
        return True

    def remove_untagged(self, image_id: Digest, seconds: float) -> None:
        """Remove the image unless it has a name, within `seconds`."""
        end = time.monotonic() + seconds
        facts = self.find(image_id, seconds)
        if facts and not facts.tags:
            self._remove(image_id, image_id, seconds_until(end))

    def close(self) -> None:
        """Close the connections."""
        if self._connected:
            self._connected.close()

    def _remove(self, what: str, name: str, seconds: float) -> None:
        self._ask(f'removing {what}', 'DELETE', self._path('images', name), seconds)

    def _ask(self, doing: str, method: str, path: str, seconds: float | None = None, **parameters: str) -> None:
        """Send a request whose answer says no more than that it was done, within `seconds`."""
        with translated(self.address, doing):
            patience = Patience(seconds or self._settings.timeout, LEAST_RATE)
            with closing(self._api.ask(method, path, patience, **parameters)) as found:
                if found.status not in (HTTPStatus.OK, HTTPStatus.CREATED):
                    raise refusal(found, self.address, doing)
                found.read(_SHORT)  # else the connection could not be reused

    def _path(self, *parts: str) -> str:
        return f'/v{self._api.api_version}{location(*parts)}'

    def _url(self, *parts: str) -> str:
        return f'{self._api.base_url}{self._path(*parts)}'

    def patience(self, size: int) -> float:
        """Return how many seconds the daemon may take, without output, to process an image of `size` bytes."""
        return self._settings.timeout + size / _SLOWEST


def seconds_until(end: float) -> float:
    """Return the seconds until `end` on the monotonic clock, at least 0.05, since a timeout of 0 would mean none."""
    return max(0.05, end - time.monotonic())


def _log(response: 'Response', **more: object) -> None:
    _LOG.debug('%s %s %s', response.request.method, response.request.path_url, response.status_code)
