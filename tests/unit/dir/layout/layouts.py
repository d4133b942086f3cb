"""What the tests of layout:// share: writing sample images and indexes into layouts, and looking at these."""
import json
from pathlib import Path
from typing import Any

from occystrap_core import CheckResults, Image, ImageIndex, Location, Receipt, Settings, VerifyLevel
from occystrap_core.oci import Descriptor, Digest, blob_name
from occystrap_core.pipeline.index_copy import copy_of
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.judge import judge
from occystrap_dir.layout.input import LayoutInput
from occystrap_dir.layout.writer import LayoutOutput
from occystrap_dir.plugin import verify_output

SETTINGS = Settings(sync=False)
REF_NAME = 'org.opencontainers.image.ref.name'


def output(path: Path | str, tag: str | None = None, settings: Settings = SETTINGS) -> LayoutOutput:
    """A writer into a layout; `path` may end in a tag."""
    given = {'tag': tag} if tag else {}
    return LayoutOutput(Location('layout', str(path), {'tag': tag, 'compression': 'gzip'}, given), settings)


def write(path: Path | str, image: Image | ImageIndex | None = None, settings: Settings | None = None) -> Receipt:
    """Copies an image or index the way the core does, with threads of its own, since a fork has none of others."""
    used = settings or Settings(sync=False)
    return copy_of(image or sample_image(), output(path, settings=used), used, 'sample', recipe='').run()


def source(path: Path | str, **options: Any) -> LayoutInput:
    """An input that reads from a layout."""
    values = {'image': None, 'platform': None, 'referrers': False, **options}
    return LayoutInput(Location('layout', str(path), values, {}), SETTINGS)


def opened(path: Path | str, **options: Any) -> Image | ImageIndex:
    """What the input opens."""
    images = source(path, **options)
    reference, = images.references()
    return images.open(reference)


def findings(receipt: Receipt, level: VerifyLevel = VerifyLevel.FAST) -> list[str]:
    """What the verifier says, a line each."""
    receipt = Receipt.from_json(receipt.to_json())
    results = verify_output(receipt, level, Settings(sync=False))  # with threads of its own, as a fork has none
    assert isinstance(results, CheckResults)
    return [f'{each.severity.value} {each}' for each in judge(receipt, level, results).problems]


def index_of(directory: Path) -> dict[str, Any]:
    """The index.json of a layout."""
    document: dict[str, Any] = json.loads((directory / 'index.json').read_bytes())
    return document


def names(directory: Path) -> list[str]:
    """The names in index.json, in order, empty for an entry without."""
    return [entry.get('annotations', {}).get(REF_NAME, '') for entry in index_of(directory)['manifests']]


def blobs(directory: Path) -> set[str]:
    """The names of all files in the directory of blobs."""
    return {path.name for path in (directory / 'blobs/sha256').iterdir()}


def put_blob(directory: Path, content: bytes, media_type: str = '') -> Descriptor:
    """Puts a blob into a layout by hand."""
    path = directory / blob_name(Digest.of(content))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Descriptor(media_type, Digest.of(content), len(content))


def put_index(directory: Path, *entries: dict[str, Any], **fields: Any) -> None:
    """Writes oci-layout and index.json by hand."""
    directory.mkdir(exist_ok=True)
    (directory / 'oci-layout').write_text('{"imageLayoutVersion": "1.0.0"}\n')
    (directory / 'index.json').write_text(json.dumps({'schemaVersion': 2, 'manifests': list(entries), **fields}))


def entry(descriptor: Descriptor, name: str = '', **fields: Any) -> dict[str, Any]:
    """An entry of index.json."""
    annotations = {'annotations': {REF_NAME: name}} if name else {}
    return {**descriptor.to_json(), **annotations, **fields}


def put_image(directory: Path, image: Image) -> Descriptor:
    """Puts the blobs of an image into a layout by hand; returns its manifest's descriptor."""
    assert image.manifest
    for layer in image.layers:
        with layer.stored() as stream:
            put_blob(directory, b''.join(bytes(chunk) for chunk in stream.chunks()))
    put_blob(directory, image.config.raw)
    put_blob(directory, image.manifest.raw)
    return image.manifest.descriptor
