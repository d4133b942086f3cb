"""Blobs and manifests put into a registry by plain HTTP requests, without any of the code under test.

Follows https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#push.
"""

import hashlib
import urllib.request
from typing import Any
from urllib.parse import urljoin

from tests.services.registry import Registry

Descriptor = dict[str, Any]


def put_blob(registry: Registry, repository: str, data: bytes, media_type: str) -> Descriptor:
    """Uploads the blob and returns its descriptor."""
    descriptor = _descriptor(data, media_type)
    start = _request(registry, 'POST', f'/v2/{repository}/blobs/uploads/')
    location = urljoin(registry.url, start['Location'])
    separator = '&' if '?' in location else '?'
    _request(
        registry, 'PUT', f'{location}{separator}digest={descriptor["digest"]}', data,
        {'Content-Type': 'application/octet-stream'},
    )
    return descriptor


def put_manifest(registry: Registry, repository: str, data: bytes, media_type: str, tag: str = '') -> Descriptor:
    """Uploads a manifest or index as it is, under a tag or else only under its digest; returns its descriptor."""
    descriptor = _descriptor(data, media_type)
    target = f'/v2/{repository}/manifests/{tag or descriptor["digest"]}'
    _request(registry, 'PUT', target, data, {'Content-Type': media_type})
    return descriptor


def mount_blob(registry: Registry, repository: str, digest: str, origin: str) -> None:
    """Makes a blob of the repository `origin` known in another repository of the same registry."""
    _request(registry, 'POST', f'/v2/{repository}/blobs/uploads/?mount={digest}&from={origin}')


def _descriptor(data: bytes, media_type: str) -> Descriptor:
    return {'mediaType': media_type, 'digest': f'sha256:{hashlib.sha256(data).hexdigest()}', 'size': len(data)}


def _request(
    registry: Registry, method: str, target: str, data: bytes = b'', headers: dict[str, str] | None = None,
) -> dict[str, str]:
    request = urllib.request.Request(
        urljoin(registry.url, target), data=data, headers=headers or {}, method=method,
    )
    with urllib.request.urlopen(request) as response:
        return dict(response.headers)
