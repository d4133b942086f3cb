"""Manifests and configs: fetched whole, capped, held against their digests."""
import difflib
import json
from collections.abc import Iterable

from occystrap_core import DigestMismatch, ImageNotFound, InvalidImage
from occystrap_core.oci import MANIFEST_CAP, Descriptor, Digest, Index, Manifest, media_types, parse_manifest_or_index
from occystrap_registry.blobs import pull_scope
from occystrap_registry.client import RegistryClient

ACCEPT = ', '.join((*media_types.MANIFESTS, *media_types.INDEXES))


def get_manifest(client: RegistryClient, wanted: str | Digest) -> Manifest | Index:
    """Return the manifest or index behind a tag or digest; raises ImageNotFound, InvalidImage, DigestMismatch."""
    repository = client.address.repository
    target = f'/v2/{repository}/manifests/{wanted}'
    with client.request('GET', target, pull_scope(repository), {'Accept': ACCEPT}) as response:
        if response.status_code == 404:
            raise ImageNotFound(_not_found(client, wanted))
        if response.status_code != 200:
            client.fail(response, f'the manifest of {_named(client, wanted)} cannot be read')
        raw = read_capped(response.iter_raw(), f'the manifest of {_named(client, wanted)}')
        served, told = response.headers.get('content-type'), response.headers.get('docker-content-digest')
    expected = wanted if isinstance(wanted, Digest) else Digest(told) if told else None
    if expected and Digest.of(raw) != expected:
        raise DigestMismatch(f'the manifest of {_named(client, wanted)} has digest {Digest.of(raw)}, '
                             f'should have {expected}')
    return parse_manifest_or_index(raw, served)


def get_document(client: RegistryClient, descriptor: Descriptor, what: str) -> bytes:
    """Return a small blob, such as a config; raises DigestMismatch, ImageNotFound, InvalidImage."""
    repository = client.address.repository
    with client.request('GET', f'/v2/{repository}/blobs/{descriptor.digest}', pull_scope(repository)) as response:
        if response.status_code != 200:
            client.fail(response, f'{what} {descriptor.digest} cannot be read')
        raw = read_capped(response.iter_raw(), what)
    if len(raw) != descriptor.size or Digest.of(raw) != descriptor.digest:
        raise DigestMismatch(f'{what} has digest {Digest.of(raw)} and {len(raw)} bytes, should have '
                             f'{descriptor.digest} and {descriptor.size}')
    return raw


def read_capped(pieces: Iterable[bytes], what: str) -> bytes:
    """Return all pieces together; raises InvalidImage as soon as they are more than a document may have."""
    raw = bytearray()
    for piece in pieces:
        raw += piece
        if len(raw) > MANIFEST_CAP:
            raise InvalidImage(f'{what} has more than the {MANIFEST_CAP} bytes allowed')
    return bytes(raw)


def _named(client: RegistryClient, wanted: str | Digest) -> str:
    return f'{client.address.reference.name}{"@" if isinstance(wanted, Digest) else ":"}{wanted}'


def _not_found(client: RegistryClient, wanted: str | Digest) -> str:
    """Return what to tell of a manifest that is not there: with the nearest tags where the repository is."""
    repository = client.address.repository
    with client.request('GET', f'/v2/{repository}/tags/list', pull_scope(repository)) as response:
        try:
            listed = json.loads(read_capped(response.iter_raw(), 'the tags')).get('tags')
        except (ValueError, AttributeError, InvalidImage):
            listed = None
    tags = [str(tag) for tag in listed] if isinstance(listed, list) else []
    near = difflib.get_close_matches(str(wanted), tags, n=5, cutoff=0.0)
    there = f'it has the tags {", ".join(near)}' if near else f'{client.address.host} has no such repository or no tags'
    return f'{_named(client, wanted)} is not there; {there}'
