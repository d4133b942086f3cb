"""The platforms that a daemon has of an image, asked without an export.

Docker's own store has one. With containerd's store Docker lists an image once for each platform that it has of it (24),
once with its manifests (from 27.2 on: Docker Engine API 1.47, ImageList), or, between these, once with the size of all.
Podman keeps lists of manifests under names of their own (its API: libpod/manifests).
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
"""The first minor versions of API 1.x whose lists regard all platforms, and that list an image's manifests."""
_DOING = 'listing the platforms of'
_NO_LIST = 'not a manifest list'
"""What Podman says of an image, with status 500."""


def held_platforms(daemon: Daemon, reference: Reference) -> Sequence[str] | None:
    """Return the platforms of the image of this name, at least two if it is for several; empty for one not told.

    Nothing if there is no image, or it is for one platform by its form; None if the daemon does not tell how many.
    Raises ServiceError.
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
    """Return two platforms, not told which, for an image of several, by sizes in bytes.

    A list has those of the blobs and the unpacked layers of all platforms. Of one platform inspecting gives the blobs,
    the index among them, and the history the unpacked layers; unpacked, none has size 0.
    On tmpfs a layer without content has: then this is not told.
    """
    try:
        steps = daemon.history(facts.id)
    except ServiceError:  # Docker 26 has none of some images without a history, with status 404
        return None
    unpacked = [step['Size'] for step in steps if isinstance(step.get('Size'), int) and step['Size']]
    if len(unpacked) != len(facts.diff_ids) or not isinstance(row.get('Size'), int):
        return None
    return ['', ''] if row['Size'] - sum(unpacked) > facts.size else ()


def _available(row: dict[str, Any]) -> Iterator[str]:
    """Yield the platforms of the manifests of images, not of attestations, that the daemon has with all layers."""
    for each in _objects(row.get('Manifests')):
        if each.get('Kind') == 'image' and each.get('Available'):
            yield _platform((each.get('ImageData') or {}).get('Platform'))


def _of_list(daemon: Daemon, reference: Reference) -> Sequence[str] | None:
    """Return the platforms of a list of manifests; whether it is there is asked first, or a registry would be asked."""
    name = complete_name(reference).familiar
    path = (*daemon.itself.podman_path, 'manifests', name)
    status, words = daemon.status(f'{_DOING} {name}', *path, 'exists')
    if status == HTTPStatus.NOT_FOUND or _NO_LIST in words:
        return ()
    if status != HTTPStatus.NO_CONTENT:  # what stands before the daemon does not let that through
        return None if daemon.find(name) else ()
    found = daemon.read(f'{_DOING} {name}', *path, 'json')
    return [_platform(each.get('platform')) for each in _objects((found or {}).get('manifests'))]


def _platform(found: Any) -> str:
    parts = [found.get(key) for key in ('os', 'architecture', 'variant')] if isinstance(found, dict) else []
    return '/'.join(part for part in parts if isinstance(part, str) and part)


def _objects(found: Any) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
