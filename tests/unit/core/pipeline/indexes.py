"""Indexes and artifacts in memory, and a destination that takes them."""
from collections.abc import Sequence

from occystrap_core import Expectation, ImageIndex, Receipt, WrittenImage, WrittenIndex, WrittenReferrer
from occystrap_core.image.artifact import Artifact
from occystrap_core.image.image import Child, Content, Referrer
from occystrap_core.oci import Descriptor, Digest, Index, Manifest, Platform, Reference, dump_json, media_types
from tests.unit.core.image.sources import Source
from tests.unit.core.pipeline.memory import MemoryOutput

REFERENCE = Reference.parse('many:v1')
KIND = 'application/vnd.example.signature'


class IndexShelf(MemoryOutput):
    """A destination that keeps manifests and indexes too; `steps` has the order in which they came."""

    holds_indexes = True

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.steps: list[str] = []

    def put_documents(self, part: WrittenImage | WrittenIndex) -> Sequence[Expectation]:
        if isinstance(part, WrittenIndex):
            return [self._keep(part.index, str(part.index.digest))]
        assert part.manifest
        config = part.config
        self.shelf.blobs[config.digest] = config.raw
        return [self._keep(part.manifest, str(part.manifest.digest)),
                Expectation('config', config.digest, config.digest, len(config.raw))]

    def finalize(self, image: WrittenImage) -> Receipt:
        assert image.manifest
        receipt = super().finalize(image)
        documents = [self._keep(image.manifest, 'tag'), *receipt.expectations]
        return image.receipt(self.location, documents)

    def attach_referrers(self, referrers: Sequence[WrittenReferrer]) -> Sequence[Expectation]:
        self.steps += [f'attach {each.tag or each.subject}' for each in referrers]
        return [Expectation('referrer', str(each.subject), each.document.digest, len(each.document.raw))
                for each in referrers if each.subject]

    def finalize_index(self, index: WrittenIndex) -> Receipt:
        return index.receipt(self.location, [self._keep(index.index, 'tag')])

    def _keep(self, document: Manifest | Index, name: str) -> Expectation:
        self.shelf.blobs[name] = document.raw
        self.steps.append(name)
        return Expectation('index' if isinstance(document, Index) else 'manifest', name, document.digest,
                           len(document.raw))


def descriptor_of(content: Content) -> Descriptor:
    """Return what points at an image or index."""
    document = content.index if isinstance(content, ImageIndex) else content.manifest
    assert document
    return document.descriptor


def index_of(contents: Sequence[Content], platforms: Sequence[str] = (), attached: Sequence[Referrer] = (),
             media_type: str = media_types.OCI_INDEX) -> ImageIndex:
    """Return an index of these, with an unknown field."""
    entries = []
    for place, content in enumerate(contents):
        entry = descriptor_of(content).to_json()
        if platforms:
            entry['platform'] = {**Platform.parse(platforms[place]).to_json(), 'os.version': '1'}
        entries.append(entry)
    raw = b' ' + dump_json({'schemaVersion': 2, 'mediaType': media_type, 'manifests': entries, 'unknown': True})
    children = [Child(place, each) for place, each in enumerate(contents)]
    return ImageIndex(REFERENCE, Index.parse(raw), children, attached)


def artifact(content: bytes = b'a signature', config: bytes = b'{}') -> Artifact:
    """Return an artifact of one blob."""
    blob = Descriptor(KIND, Digest.of(content), len(content))
    manifest = Manifest.build(Descriptor('application/vnd.oci.empty.v1+json', Digest.of(config), len(config)), [blob])
    return Artifact(REFERENCE, config, manifest, lambda descriptor: Source(content))
