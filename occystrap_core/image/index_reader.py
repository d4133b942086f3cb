"""What a user wants of a name: one image of it, some of its platforms, or all, with what hangs on that or without."""
from collections.abc import Callable, Iterable, Sequence

from occystrap_core.errors import ImageNotFound, InvalidImage
from occystrap_core.image.entry_platforms import with_platforms, without_covers
from occystrap_core.image.image import Image
from occystrap_core.image.image_index import Attached, Content, ImageIndex, below
from occystrap_core.image.manifest_reader import DEEPEST, ManifestReader
from occystrap_core.image.origin import Origin
from occystrap_core.oci import media_types
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.platform import Platform, PlatformChoice
from occystrap_core.oci.referrers import subject_of

Hanging = Callable[[Digest], tuple[Sequence[Descriptor], Sequence[tuple[str, Manifest | Index]]]]
"""Looks up what hangs on a digest: its referrers as they are listed, and what lies under tags made from it."""


class IndexReader(ManifestReader):
    """Opens an image, or of an index what was asked for, from a store, in the order that asks least of it."""

    def choose(self, found: Manifest | Index, expected: PlatformChoice | None, hanging: Hanging | None = None, *,
               entries: Index | None = None) -> Image | ImageIndex:
        """Return what is expected of `found`, or what fits this machine, metadata read; with `hanging` referrers, too.

        `entries` are several of one name that were made an index here, which has no digest at the source. Raises
        ImageNotFound, InvalidImage, ServiceError.
        """
        chosen = _chosen(self, found, expected, hanging)
        if entries:
            chosen.origin = Origin.of_entries(entries)
        return chosen


def _chosen(reader: ManifestReader, found: Manifest | Index, wanted: PlatformChoice | None,
            hanging: Hanging | None) -> Image | ImageIndex:
    choice = wanted or PlatformChoice((Platform.of_host(),))
    if isinstance(found, Index) and choice.platforms and not found.manifests:
        raise ImageNotFound(f'{reader.reference} holds no image: it is an index that lists none', 'manifest-missing')
    if isinstance(found, Index) and not choice.one:
        return _several(reader, found, choice, hanging)
    image = _one(reader, found, choice)
    image.origin = Origin.of(found)
    if wanted and wanted.platforms and image.manifest is found:
        _require_platforms(image, wanted)
    if hanging and image.manifest:
        image.attached = attached_to(reader, [image.manifest.digest], hanging)
    return image


def attached_to(reader: ManifestReader, subjects: Iterable[Digest], hanging: Hanging) -> list[Attached]:
    """Return all that hangs on these, and on that in turn, metadata read; raises as ManifestReader.open does."""
    found: list[Attached] = []
    level = list(dict.fromkeys(subjects))
    seen = set(level)
    while level:
        looked = reader.in_parallel(lambda subject: (subject, *hanging(subject)), level)
        new = [each for subject, listed, tagged in looked for each in _opened(reader, subject, listed, tagged)]
        found += new
        digests = [digest for each in new for digest in _digests_of(each.content)]
        level = [digest for digest in dict.fromkeys(digests) if digest not in seen]
        seen.update(level)
    return found


def _several(reader: ManifestReader, index: Index, choice: PlatformChoice, hanging: Hanging | None) -> ImageIndex:
    """Return the index, or a choice of its entries: then what hangs on the whole does not fit."""
    if choice.platforms:
        index = without_covers(reader, index)
    opened = reader.index(index, with_platforms(reader, index, choice).places(choice))
    if hanging:
        digests = _digests_of(opened)
        complete = len(opened.children) == len(index.manifests)
        opened.attached = tuple(attached_to(reader, digests if complete else digests[:-1], hanging))
    return opened


def _one(reader: ManifestReader, found: Manifest | Index, choice: PlatformChoice) -> Image:
    manifest = _selected(reader, found, choice) if isinstance(found, Index) else found
    if manifest.config.media_type not in media_types.CONFIGS:
        if not choice.platforms:  # all: whatever there is
            return reader.contents.artifact(reader.reference, manifest)
        raise InvalidImage(f'{reader.reference} is no container image: its config is a {manifest.config.media_type}')
    if not choice.platforms:
        return reader.contents.open(reader.reference, manifest)
    return reader.contents.image(reader.reference, manifest)


def _require_platforms(image: Image, wanted: PlatformChoice) -> None:
    """Raise ImageNotFound when the one image that there is is not for all the platforms that were asked for."""
    actual = image.config.platform
    for each in wanted.platforms:
        if not actual.may_be(each):
            raise ImageNotFound(f'no image for platform {each}; there is: {actual.told}')


def _selected(reader: ManifestReader, index: Index, choice: PlatformChoice) -> Manifest:
    """Return the manifest of the one platform that is expected, from an index within the index if it is there."""
    assert choice.one
    for _ in range(DEEPEST):
        index = without_covers(reader, index)
        found = reader.read(with_platforms(reader, index, choice).select(choice.one))
        if isinstance(found, Manifest):
            return found
        index = found
    raise InvalidImage(f'{reader.reference} has indexes within indexes, more than {DEEPEST} deep')


def _opened(reader: ManifestReader, subject: Digest, listed: Sequence[Descriptor],
            tagged: Sequence[tuple[str, Manifest | Index]]) -> list[Attached]:
    contents = reader.open([*listed, *(reader.take(document) for _, document in tagged)])
    for entry in listed:
        if subject_of(reader.document(entry.digest)) != subject:
            raise InvalidImage(f'{entry.digest} is listed as referring to {subject}, but does not say so itself')
    return [*(Attached(content, subject=subject) for content in contents[:len(listed)]),
            *(Attached(content, tag=tag) for content, (tag, _) in zip(contents[len(listed):], tagged, strict=True))]


def _digests_of(content: Content) -> list[Digest]:
    """Return the digests of all manifests that an image or an index is made of."""
    documents = [each.index if isinstance(each, ImageIndex) else each.manifest for each in below(content)]
    return [document.digest for document in documents if document]
