"""Small images put straight into a registry's store, and what a store has of an image."""
import json
from typing import Any

from occystrap_core.oci import Descriptor, media_types
from occystrap_core.testing.sample import sample_image
from tests.services.registry_profiles.server import ProfiledRegistry
from tests.services.registry_profiles.store import Store, digest_of

SBOM = 'application/spdx+json'


def put_image(store: Store, repository: str, tag: str = 'v1', variant: str = '') -> Descriptor:
    """Put an image of three small layers, of which images with another variant have two; return its descriptor."""
    image = sample_image(variant=variant)
    assert image.manifest
    store.put_blob(repository, image.config.raw)
    for layer in image.layers:
        with layer.stored() as stream:
            store.put_blob(repository, b''.join(bytes(chunk) for chunk in stream.chunks()))
    store.repositories[repository].put(tag, (image.manifest.media_type, image.manifest.raw))
    return image.manifest.descriptor


def put_index(store: Store, repository: str, tag: str = 'v1') -> None:
    """Put an index of two images."""
    entries = []
    for number in range(2):
        put = put_image(store, repository, f'part-{number}', variant=str(number))
        entries.append({**put.to_json(), 'platform': {'os': 'linux', 'architecture': 'amd64'}})
        del store.repositories[repository].tags[f'part-{number}']
    document = {'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': entries}
    store.repositories[repository].put(tag, (media_types.OCI_INDEX, json.dumps(document).encode()))


def put_sbom(store: Store, repository: str, subject: Descriptor) -> str:
    """Put an artifact that refers to an image, also under the tag for registries without the API."""
    kept = store.repositories[repository]
    config, layer = store.put_blob(repository, b'{}'), store.put_blob(repository, b'packages')
    document: dict[str, Any] = {
        'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST, 'artifactType': SBOM,
        'config': {'mediaType': 'application/vnd.oci.empty.v1+json', 'digest': config, 'size': 2},
        'layers': [{'mediaType': SBOM, 'digest': layer, 'size': 8}], 'subject': subject.to_json()}
    digest = kept.put('sbom', (media_types.OCI_MANIFEST, json.dumps(document).encode()))
    del kept.tags['sbom']
    index = {'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': kept.referrers(subject.digest)}
    kept.put(str(subject.digest).replace(':', '-'), (media_types.OCI_INDEX, json.dumps(index).encode()))
    return digest


def content_of(registry: ProfiledRegistry, repository: str, tag: str = 'v1') -> dict[str, bytes]:
    """Return what an image consists of, by digest: its manifest, config and layers."""
    found = registry.store.repositories[repository].find(tag)
    assert found, f'{repository}:{tag} is not there'
    document = json.loads(found[1])
    blobs = [document['config']['digest'], *(each['digest'] for each in document['layers'])]
    kept = registry.store.content if registry.profile.has_one_store else registry.store.repositories[repository].blobs
    return {digest_of(found[1]): found[1], **{each: registry.store.content[each] for each in blobs if each in kept}}


def put_docker_image(store: Store, repository: str, tag: str = 'v1') -> None:
    """Put the image in Docker's form, as most images on Docker Hub are."""
    put_image(store, repository, tag)
    kept = store.repositories[repository]
    document = json.loads(kept.manifests[kept.tags[tag]][1])
    document['mediaType'] = media_types.DOCKER_MANIFEST
    document['config']['mediaType'] = media_types.DOCKER_CONFIG
    for layer in document['layers']:
        layer['mediaType'] = 'application/vnd.docker.image.rootfs.diff.tar.gzip'
    kept.put(tag, (media_types.DOCKER_MANIFEST, json.dumps(document, indent=3).encode()))
