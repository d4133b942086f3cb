"""The platforms of an image that a daemon has, determined without an export.

Docker's own store has one. With containerd's store Docker lists an image once for each of its platforms (24), once with
its manifests (from 27.2 on: Docker Engine API 1.47, ImageList) or, in between, once with the total size. Podman keeps
lists of manifests under names of their own (its API: libpod/manifests).
"""
import json
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

from occystrap_core import ServiceError
from occystrap_core.oci import Reference
from occystrap_docker.connection.address import complete_name
from occystrap_docker.daemon.daemon import Daemon
from occystrap_docker.daemon.image_list import ImageFacts

_ALL, _MANIFESTS = 43, 47
"""The first minor versions of API 1.x whose lists cover all platforms, and that list an image's manifests."""
_DOING = 'listing the platforms of'
_NO_LIST = 'not a manifest list'
"""What Podman says of an image, with status 500."""


def held_platforms(daemon: Daemon, reference: Reference) -> Sequence[str] | None:
    """Return the platforms of the image with this name, at least two if it has several; an unknown one is empty.

    An empty result if there is no image, or its form only allows one platform; None if the daemon does not report how
    many there are. Raises ServiceError.
    """
    if daemon.itself.is_podman:
        return _of_list(daemon, reference)
    facts = daemon.find(reference.familiar)
    if facts is None or not daemon.may_export_platforms(facts):
        return ()
    return _of_store(daemon, reference, facts)


def _of_store(daemon: Daemon, reference: Reference, facts: ImageFacts) -> Sequence[str] | None:
    """Return the platforms of an image in containerd's store."""
    if daemon.itself.api_minor_version < _ALL:
        return None
    named = json.dumps({'reference': [reference.familiar]})
    rows = daemon.read(f'{_DOING} {reference.familiar}', 'images', 'json', filters=named, manifests='1')
    same = [row for row in _objects(rows) if row.get('Id') == facts.id]
    if daemon.itself.api_minor_version >= _MANIFESTS:
        return list(dict.fromkeys(platform for row in same for platform in _available(row)))
    return _by_size(daemon, facts, same[0]) if len(same) == 1 else [''] * len(same)


def _by_size(daemon: Daemon, facts: ImageFacts, row: dict[str, Any]) -> Sequence[str] | None:
    """Return two unknown platforms for an image of several, by comparing sizes in bytes.

    A list adds up the blobs and the unpacked layers of all platforms. Inspecting returns the blobs of one platform,
    including the index, and the history its unpacked layers; no unpacked layer has size 0, except one without content
    on tmpfs: then the result is unknown.
    """
    try:
        steps = daemon.history(facts.id)
    except ServiceError:  # Docker 26 answers 404 for some images without a history
        return None
    unpacked = [step['Size'] for step in steps if isinstance(step.get('Size'), int) and step['Size']]
    if len(unpacked) != len(facts.diff_ids) or not isinstance(row.get('Size'), int):
        return None
    return ['', ''] if row['Size'] - sum(unpacked) > facts.size else ()


def _available(row: dict[str, Any]) -> Iterator[str]:
    """Yield the platforms of an image's manifests, not of attestations, of which the daemon has all layers."""
    for each in _objects(row.get('Manifests')):
        if each.get('Kind') == 'image' and each.get('Available'):
            yield _platform((each.get('ImageData') or {}).get('Platform'))


def _of_list(daemon: Daemon, reference: Reference) -> Sequence[str] | None:
    """Return the platforms of a manifest list, after checking that it exists, since the daemon would ask a registry
    otherwise."""
    name = complete_name(reference).familiar
    path = (*daemon.itself.podman_path, 'manifests', name)
    status, words = daemon.status(f'{_DOING} {name}', *path, 'exists')
    if status == HTTPStatus.NOT_FOUND or _NO_LIST in words:
        return ()
    if status != HTTPStatus.NO_CONTENT:  # a proxy in front of the daemon does not pass the request
        return None if daemon.find(name) else ()
    found = daemon.read(f'{_DOING} {name}', *path, 'json')
    return [_platform(each.get('platform')) for each in _objects((found or {}).get('manifests'))]


def _platform(found: Any) -> str:
    parts = [found.get(key) for key in ('os', 'architecture', 'variant')] if isinstance(found, dict) else []
    return '/'.join(part for part in parts if isinstance(part, str) and part)


def _objects(found: Any) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
