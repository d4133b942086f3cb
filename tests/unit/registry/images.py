"""Images at the embedded registry and at scripted servers."""
import json
from collections.abc import Sequence
from typing import Any

import httpx

from occystrap_core import Image, Receipt, Settings, VerifyLevel
from occystrap_core.oci import Descriptor, Digest, Platform, media_types
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.judge import Verdict, judge
from occystrap_registry.input import RegistryInput
from occystrap_registry.plugin import verify_output
from occystrap_registry.writer import RegistryOutput
from tests.unit.registry.scripted import Answer, Scripted, location

HTTP = httpx.Client(trust_env=False, verify=False, limits=httpx.Limits(max_keepalive_connections=0))
"""Sends plain requests, each on a connection of its own; to make a client takes longer than a request."""


def push(host: str, settings: Settings, image: Image | None = None, name: str = 'app:v1', **options: object) -> Receipt:
    """Write an image, the sample by default, the way the core does."""
    output = RegistryOutput(location(f'{host}/{name}', **options), settings)
    return ImageCopy(image or sample_image(), output, settings, 'sample').run()


def pull(host: str, settings: Settings, name: str = 'app:v1', **options: object) -> Image:
    """Open an image."""
    images = RegistryInput(location(f'{host}/{name}', **options), settings)
    reference, = images.references()
    return images.open(reference)


def verify(receipt: Receipt, settings: Settings, level: VerifyLevel = VerifyLevel.FULL) -> Verdict:
    """Verify the way `occystrap verify` does, from the receipt's text."""
    receipt = Receipt.from_json(receipt.to_json())
    results = verify_output(receipt, level, settings)
    assert results is not None
    return judge(receipt, level, results)


def put_manifest(host: str, document: dict[str, Any] | bytes, tag: str, media_type: str, repository: str = 'app',
                 ) -> Descriptor:
    """Put a manifest or index by a plain request."""
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    target = f'http://{host}/v2/{repository}/manifests/{tag or Digest.of(raw)}'
    headers = {'Content-Type': media_type}
    HTTP.put(target, content=raw, headers=headers).raise_for_status()
    return Descriptor(media_type, Digest.of(raw), len(raw))


def index_of(entries: Sequence[tuple[Descriptor, str | None]]) -> dict[str, Any]:
    """Return an index of manifests with their platforms."""
    manifests = [Descriptor(each.media_type, each.digest, each.size, Platform.parse(name) if name else None).to_json()
                 for each, name in entries]
    return {'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': manifests}


def serve(server: Scripted, image: Image, **replaced: bytes) -> None:
    """Let a scripted server have an image under `app:v1`, with `manifest` or `config` replaced."""
    assert image.manifest
    manifest, config = replaced.get('manifest', image.manifest.raw), replaced.get('config', image.config.raw)
    answer = Answer(200, manifest, [('Content-Type', image.manifest.media_type)])
    server.routes['GET /v2/app/manifests/v1'] = answer
    server.routes[f'GET /v2/app/manifests/{image.manifest.digest}'] = answer
    server.routes[f'GET /v2/app/blobs/{image.manifest.config.digest}'] = Answer(200, config)
    for layer in image.layers:
        assert layer.descriptor
        with layer.stored() as stream:
            blob = b''.join(bytes(chunk) for chunk in stream.chunks())
        server.routes[f'GET /v2/app/blobs/{layer.descriptor.digest}'] = Answer(200, blob)
