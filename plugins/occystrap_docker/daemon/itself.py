"""A daemon's reports about itself: its store, its programs, its API version. Each document is read once."""
from collections.abc import Mapping
from typing import Any

from occystrap_docker.daemon.queries import Queries

_DESCRIBING = 'describing itself'
_CONTAINERD = ['driver-type', 'io.containerd.snapshotter.v1']
_DOCKER, _PODMAN = 'Engine', 'Podman Engine'


class Itself:
    """The facts about one daemon. All raise ServiceError when it does not answer."""

    def __init__(self, queries: Queries, documents: dict[str, Mapping[str, Any]]) -> None:
        """`documents` are those already read, shared by all users of this daemon in a run."""
        self._queries, self._documents = queries, documents

    @property
    def names_images_by_manifest(self) -> bool:
        """Whether images are in containerd's store, where the ID is the digest of a manifest or an index."""
        return _CONTAINERD in (self._document('info').get('DriverStatus') or [])

    @property
    def finds_layers_by_chain(self) -> bool:
        """Whether an archive may omit layers that the daemon has with the same lower layers.

        Docker's own store looks for them before it reads the archive; containerd's store and Podman do not.
        """
        return not self.names_images_by_manifest and _DOCKER in self._programs

    @property
    def is_podman(self) -> bool:
        """Whether this is Podman's service."""
        return _PODMAN in self._programs

    @property
    def podman_path(self) -> tuple[str, str]:
        """The path of Podman's own API, which requires a version."""
        return f'v{self._programs[_PODMAN]}', 'libpod'

    @property
    def api_minor_version(self) -> int:
        """The minor version of the newest API that the daemon supports, 0 if it does not report one."""
        _, _, minor = str(self._document('version').get('ApiVersion') or '').partition('.')
        return int(minor) if minor.isdecimal() else 0

    @property
    def _programs(self) -> Mapping[str, str]:
        """The versions of the daemon's components, by name."""
        found = self._document('version').get('Components')
        programs = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        return {str(each.get('Name')): str(each.get('Version') or '') for each in programs}

    def _document(self, name: str) -> Mapping[str, Any]:
        """Return a document; several threads may read it in parallel, since a lock would make all wait for a silent
        daemon."""
        if name not in self._documents:
            found = self._queries.document(_DESCRIBING, name)
            self._documents[name] = found if isinstance(found, dict) else {}
        return self._documents[name]
