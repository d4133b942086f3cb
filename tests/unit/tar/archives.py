"""Archives made by hand, whole and broken, and the ways through input, writer and verifier."""
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from occystrap_core.api.image_input import ImageInput
from occystrap_core.image.image import Image
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.plugins.resolver import destination_location, open_output, open_source, source_location
from occystrap_core.receipts.destination_check import verify_receipt
from occystrap_core.settings import Settings, VerifyLevel
from occystrap_core.testing.sample import sample_config, sample_layers
from occystrap_core.verification.judge import Verdict
from occystrap_core.verification.receipt import Receipt
from tests.services.installed import installed_plugins

Members = Sequence[tuple[str, bytes | str]]
"""Names with content, or with the target of a symlink as text."""


def hex_of(data: bytes) -> str:
    """Return the hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def gzipped(data: bytes) -> bytes:
    """Return the data as gzip, always the same."""
    return gzip.compress(data, mtime=0)


def write_tar(path: Path, members: Members) -> Path:
    """Write an archive and return its path."""
    with tarfile.open(path, 'w') as archive:
        for name, content in members:
            header = tarfile.TarInfo(name)
            if isinstance(content, str):
                header.type, header.linkname = tarfile.SYMTYPE, content
                archive.addfile(header)
            else:
                header.size = len(content)
                archive.addfile(header, io.BytesIO(content))
    return path


def docker_members(prefix: str = '', *, tags: Sequence[str] = ('sample:v1',), changes: Mapping[str, Any] | None = None,
                   ) -> list[tuple[str, bytes | str]]:
    """Return the members of a legacy docker archive of the sample image; `changes` go into its manifest entry."""
    layers, config = sample_layers(), sample_config()
    names = [f'{prefix}{index}/layer.tar' for index in range(3)]
    entry = {'Config': f'{prefix}{hex_of(config)}.json', 'RepoTags': list(tags), 'Layers': names, **(changes or {})}
    manifest = json.dumps([entry]).encode()
    return [*zip(names, layers, strict=True), (f'{prefix}{hex_of(config)}.json', config),
            (f'{prefix}manifest.json', manifest)]


def oci_members() -> list[tuple[str, bytes | str]]:
    """Return the members of an OCI archive of the sample image."""
    config = sample_config()
    blobs = [gzipped(layer) for layer in sample_layers()]

    def pointer(kind: str, data: bytes) -> dict[str, Any]:
        return {'mediaType': f'application/vnd.oci.image.{kind}', 'digest': f'sha256:{hex_of(data)}', 'size': len(data)}

    manifest = json.dumps({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json',
                           'config': pointer('config.v1+json', config),
                           'layers': [pointer('layer.v1.tar+gzip', blob) for blob in blobs]}).encode()
    index = json.dumps({'schemaVersion': 2, 'manifests': [pointer('manifest.v1+json', manifest)]}).encode()
    return [('oci-layout', b'{"imageLayoutVersion": "1.0.0"}'), ('index.json', index),
            *((f'blobs/sha256/{hex_of(blob)}', blob) for blob in (manifest, config, *blobs))]


def copy(source: str, destination: str) -> Receipt:
    """Copy between two URIs through the real pipeline, one layer at a time, and return the receipt."""
    plugins, settings = installed_plugins(), Settings(sync=False)
    read_from = open_source(plugins, source_location(plugins, source), settings)
    assert isinstance(read_from, ImageInput)
    try:
        with read_from.open(next(iter(read_from.references()))) as image:
            return write(image, destination, settings)
    finally:
        read_from.close()


def write(image: Image, destination: str, settings: Settings | None = None) -> Receipt:
    """Write an image through the real pipeline and return the receipt."""
    plugins, settings = installed_plugins(), settings or Settings(sync=False)
    output = open_output(plugins, destination_location(plugins, destination), settings)
    return ImageCopy(image, output, settings, 'memory://sample').run()


def verify(receipt: Receipt, level: VerifyLevel = VerifyLevel.FULL) -> Verdict:
    """Return what the verifiers say."""
    return verify_receipt(installed_plugins(), receipt, level, Settings())
