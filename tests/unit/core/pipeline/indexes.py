"""Indexes and artifacts in memory, and a destination that takes them."""
from collections.abc import Sequence

from occystrap_core import Expectation, ImageIndex, ImageOutput, Receipt, WrittenImage, WrittenIndex, WrittenReferrer
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

    def __init__(self, *arguments: object, whole: 'IndexShelf | None' = None) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.is_part = whole is not None
        self.steps: list[str] = whole.steps if whole else []

    def child(self) -> ImageOutput | None:
        return type(self)(self.location, self.settings, whole=self)

    def finalize(self, image: WrittenImage) -> Receipt:
        assert image.manifest
        receipt = super().finalize(image)
        documents = [self._keep(image.manifest), *receipt.expectations]
        return image.receipt(self.location, documents)

    def attach_referrers(self, referrers: Sequence[WrittenReferrer]) -> Sequence[Expectation]:
        self.steps += [f'attach {each.tag or each.subject}' for each in referrers]
        return [Expectation('referrer', str(each.subject), each.document.digest, len(each.document.raw))
                for each in referrers if each.subject]

    def finalize_index(self, index: WrittenIndex) -> Receipt:
        return index.receipt(self.location, [self._keep(index.index)])

    def abort(self) -> None:
        if not self.is_part:
            super().abort()

    def _keep(self, document: Manifest | Index) -> Expectation:
        name = str(document.digest) if self.is_part else 'tag'
        self.shelf.blobs[name] = document.raw
        self.steps.append(name)
        return Expectation('index' if isinstance(document, Index) else 'manifest', name, document.digest,
                           len(document.raw))


class PutShelf(IndexShelf):
    """A destination whose parts are written by core's own writer."""

    def child(self) -> None:
        return None

    def put_documents(self, part: WrittenImage | WrittenIndex) -> Sequence[Expectation]:
        document = part.index if isinstance(part, WrittenIndex) else part.manifest
        assert document
        kept = [('index' if isinstance(document, Index) else 'manifest', document.raw)]
        if isinstance(part, WrittenImage):
            kept.append(('config', part.config.raw))
        self.shelf.blobs |= {Digest.of(raw): raw for _, raw in kept}
        return [Expectation(kind, Digest.of(raw), Digest.of(raw), len(raw)) for kind, raw in kept]


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
