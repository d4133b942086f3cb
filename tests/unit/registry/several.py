"""Indexes, artifacts and referrers, in the embedded registry."""
import atexit
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from occystrap_core import Image, ImageIndex, Receipt, Settings
from occystrap_core.oci import Descriptor, Digest, Index, Manifest, Platform, media_types
from occystrap_core.pipeline.index_copy import copy_of
from occystrap_core.testing.sample import sample_image
from occystrap_registry.input import RegistryInput
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_registry.writer import RegistryOutput
from tests.services.directories import service_directory
from tests.unit.registry.images import HTTP, push, put_manifest
from tests.unit.registry.scripted import location

EMPTY = 'application/vnd.oci.empty.v1+json'
KIND = 'application/vnd.example.sbom'


def registry_of(directory: Path, names: list[str]) -> Iterator[str]:
    """Run a registry with images of these names, which a file of names in `directory` lists, too; yield its host."""
    with registry_with(directory / 'registry', names) as server:
        name_all(directory, server.host, names)
        yield server.host


def registry_with(root: Path, names: Sequence[str]) -> RegistryServer:
    """Return a registry with images of these names, as `push_all` makes them, in a storage of its own."""
    return RegistryServer(shutil.copytree(_storage(tuple(names)), root, copy_function=shutil.copyfile))


@cache
def _storage(names: tuple[str, ...]) -> Path:
    """Return a storage with images of these names, made once: to push them takes as long as most of a test."""
    stack = ExitStack()
    atexit.register(stack.close)
    root = stack.enter_context(service_directory('storage')) / 'registry'
    with RegistryServer(root) as server:
        push_all(server.host, names)
    return root


def put_blob(host: str, data: bytes, media_type: str, repository: str = 'many') -> Descriptor:
    """Put a blob by a plain request."""
    descriptor = Descriptor(media_type, Digest.of(data), len(data))
    target = f'http://{host}/v2/{repository}/blobs/uploads/?digest={descriptor.digest}'
    HTTP.post(target, content=data).raise_for_status()
    return descriptor


def put_artifact(host: str, content: bytes, tag: str = '', repository: str = 'many', *, kind: str = KIND,
                 config: str = EMPTY, subject: Descriptor | None = None, **fields: Any) -> Descriptor:
    """Put an artifact of one blob, which may refer to something."""
    if subject:
        fields['subject'] = subject.to_json()
    document = {'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST, 'artifactType': kind,
                'config': put_blob(host, b'{}', config, repository).to_json(),
                'layers': [put_blob(host, content, f'{kind}.content', repository).to_json()], **fields}
    return put_manifest(host, document, tag, media_types.OCI_MANIFEST, repository)


def put_index(host: str, entries: list[dict[str, Any]], tag: str = 'v1', repository: str = 'many') -> Descriptor:
    """Put an index, written in a way of its own."""
    document = {'manifests': entries, 'mediaType': media_types.OCI_INDEX, 'schemaVersion': 2, 'extra': [1]}
    return put_manifest(host, json.dumps(document, indent=3).encode(), tag, media_types.OCI_INDEX, repository)


def entry(descriptor: Descriptor, platform: str = '', about: str = '') -> dict[str, Any]:
    """Return an index's entry."""
    fields: dict[str, Any] = descriptor.to_json()
    if platform:
        fields['platform'] = Platform.parse(platform).to_json()
    if about:
        fields['annotations'] = {'vnd.docker.reference.digest': about,
                                 'vnd.docker.reference.type': 'attestation-manifest'}
    return fields


def put_many(host: str, settings: Settings) -> list[dict[str, Any]]:
    """Put `many:v1`: amd64 and arm64, an attestation of each as BuildKit makes them; return its entries."""
    images, attestations = [], []
    for platform in ('linux/amd64', 'linux/arm64/v8'):
        image = sample_image(variant=platform)
        push(host, settings, image, f'many:{platform[6:11]}')
        assert image.manifest
        images.append(entry(image.manifest.descriptor, platform))
        attestation = put_artifact(host, platform.encode(), config=media_types.OCI_CONFIG)
        attestations.append(entry(attestation, 'unknown/unknown', image.manifest.digest))
    put_index(host, [*images, *attestations])
    return [*images, *attestations]


def push_all(host: str, names: Sequence[str]) -> None:
    """Push a sample image to each name, each with layers of its own; `many:v1` is the index of put_many."""
    for name in names:
        if name == 'many:v1':
            put_many(host, Settings())
        else:
            push(host, Settings(), sample_image(name, variant=name), name)


def name_all(directory: Path, host: str, names: list[str]) -> None:
    """Write the list of these images as sources, `list`."""
    (directory / 'list').write_text(''.join(f'registry://{host}/{name}\n' for name in names))


def open_at(host: str, settings: Settings, name: str = 'many:v1', **options: object) -> Image | ImageIndex:
    """Open an image or index."""
    images = RegistryInput(location(f'{host}/{name}', **options), settings)
    reference, = images.references()
    return images.open(reference)


def copy(opened: Image | ImageIndex, host: str, settings: Settings, name: str = 'many:v1') -> Receipt:
    """Copy what was opened."""
    return copy_of(opened, RegistryOutput(location(f'{host}/{name}'), settings), settings, 'a source', recipe='').run()


def manifest_at(host: str, tag_or_digest: str, repository: str = 'many') -> httpx.Response:
    """Return what a plain request gets."""
    accepted = {'Accept': f'{media_types.OCI_INDEX}, {media_types.OCI_MANIFEST}'}
    return HTTP.get(f'http://{host}/v2/{repository}/manifests/{tag_or_digest}', headers=accepted)


def document_at(host: str, tag_or_digest: str, repository: str = 'many') -> Index | Manifest:
    """Return the manifest or index at a tag or digest."""
    raw = manifest_at(host, tag_or_digest, repository).raise_for_status().content
    return Index.parse(raw) if b'"manifests"' in raw else Manifest.parse(raw)
