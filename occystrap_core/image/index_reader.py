"""Opening what a user requests of a name: one image, some platforms, or all, with or without referrers."""
from collections.abc import Callable, Iterable, Sequence

from occystrap_core.errors import ImageNotFound, InvalidImage, NoImage
from occystrap_core.image.entry_platforms import with_platforms, without_covers
from occystrap_core.image.image import Content, Image, ImageIndex, Referrer, all_contents
from occystrap_core.image.manifest_reader import DEEPEST, ManifestReader
from occystrap_core.image.origin import Origin
from occystrap_core.oci import media_types
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.platform import Platform, PlatformChoice
from occystrap_core.oci.referrers import subject_of

FindReferrers = Callable[[Digest], tuple[Sequence[Descriptor], Sequence[tuple[str, Manifest | Index]]]]
"""Returns the referrers of a digest: those that are listed, and those under tags made from the digest."""


class IndexReader(ManifestReader):
    """Opens an image, or the requested part of an index, from a store, with as few requests as possible."""

    def select(self, found: Manifest | Index, requested: PlatformChoice | None,
               find_referrers: FindReferrers | None = None, *, entries: Index | None = None) -> Image | ImageIndex:
        """Return the requested part of `found`, by default the image for this machine; metadata has been read.

        With `find_referrers` its referrers are opened, too. `entries` are several entries of one name, combined to an
        index that the source does not have. Raises ImageNotFound, InvalidImage, ServiceError.
        """
        selected, platform = _select(self, found, requested)
        whole = selected.origin if isinstance(selected, ImageIndex) else Origin.of(found)
        origin = Origin.of_entries(entries) if entries else whole
        origin = origin._replace(selected=str(platform or '')) if origin else None
        return selected.named(origin, _referrers_of(self, selected, find_referrers) if find_referrers else ())

    def select_listed(self, listed: Sequence[Descriptor], requested: PlatformChoice | None,
                      find_referrers: FindReferrers | None = None) -> Image | ImageIndex:
        """Return the requested part of what a layout lists under one name; all else is as for `select`."""
        from occystrap_core.oci.layout import select_entry  # late, as registries have no layouts
        entry = select_entry(listed, bool(requested and not requested.platforms))
        if isinstance(entry, Index):
            return self.select(entry, requested, find_referrers, entries=entry)
        return self.select(self.read(entry), requested, find_referrers)


def _select(reader: ManifestReader, found: Manifest | Index,
            requested: PlatformChoice | None) -> tuple[Content, Platform | None]:
    """Return what is requested, and the platform under which an index lists it if it is one image of that."""
    choice = requested or PlatformChoice((Platform.of_host(),))
    if isinstance(found, Index) and choice.platforms and not found.manifests:
        raise ImageNotFound(f'{reader.reference} holds no image: its index is empty', 'manifest-missing')
    if isinstance(found, Index) and any(entry.media_type == media_types.BUILDKIT_CACHE for entry in found.manifests):
        raise NoImage(f'{reader.reference} is a build cache of BuildKit, whose index lists layers instead of images: '
                      'export it with image-manifest=true to copy it')
    if isinstance(found, Index) and not choice.one:
        return _several(reader, found, choice), None
    manifest, platform = _selected(reader, found, choice) if isinstance(found, Index) else (found, None)
    image = _one(reader, manifest, choice)
    if requested and requested.platforms and manifest is found:
        _require_platforms(image, requested)
    return image, platform


def _referrers_of(reader: ManifestReader, selected: Content, find_referrers: FindReferrers) -> Sequence[Referrer]:
    """Return the referrers of what was selected; those of a whole index do not apply to a selection."""
    digests = _digests_of(selected)
    is_part = isinstance(selected, ImageIndex) and len(selected.children) < len(selected.index.manifests)
    return referrers_of(reader, digests[:-1] if is_part else digests, find_referrers)


def referrers_of(reader: ManifestReader, subjects: Iterable[Digest], find_referrers: FindReferrers) -> list[Referrer]:
    """Return all referrers of these digests, and the referrers of those, metadata read; raises as ManifestReader.open
    does."""
    found: list[Referrer] = []
    level = list(dict.fromkeys(subjects))
    seen = set(level)
    while level:
        looked = reader.in_parallel(lambda subject: (subject, *find_referrers(subject)), level)
        new = [each for subject, listed, tagged in looked for each in _opened(reader, subject, listed, tagged)]
        found += new
        digests = [digest for each in new for digest in _digests_of(each.content)]
        level = [digest for digest in dict.fromkeys(digests) if digest not in seen]
        seen.update(level)
    return found


def _several(reader: ManifestReader, index: Index, choice: PlatformChoice) -> ImageIndex:
    """Return the index, or a selection of its entries."""
    if choice.platforms:
        index = without_covers(reader, index)
    try:
        return reader.index(index, with_platforms(reader, index, choice).places(choice))
    except (ImageNotFound, InvalidImage) as error:
        if choice.platforms:
            raise
        raise error.renamed(f'{error}; to take one image of the index, use --platform, such as '
                            '--platform=host') from None


def _one(reader: ManifestReader, manifest: Manifest, choice: PlatformChoice) -> Image:
    if not media_types.may_be_config(manifest.config.media_type):
        if not choice.platforms:  # all was requested: take whatever is there
            return reader.contents.artifact(reader.reference, manifest)
        raise NoImage(f'{reader.reference} is not a container image: its config is '
                      f'{manifest.config.media_type}; to copy it unchanged, use --platform=all and a destination of '
                      'manifests and blobs, such as registry:// or layout://')
    if not choice.platforms:
        return reader.contents.open(reader.reference, manifest)
    return reader.contents.image(reader.reference, manifest)


def _require_platforms(image: Image, requested: PlatformChoice) -> None:
    """Raise ImageNotFound if the only image is not for all requested platforms."""
    actual = image.config.platform
    for each in requested.platforms:
        if not actual.may_be(each):
            raise ImageNotFound(f'no image for platform {each}; available: {actual.text}')


def _selected(reader: ManifestReader, index: Index, choice: PlatformChoice) -> tuple[Manifest, Platform | None]:
    """Return the manifest of the one requested platform, also from a nested index, and the platform it is listed as."""
    assert choice.one
    for _ in range(DEEPEST):
        index = without_covers(reader, index)
        entry = with_platforms(reader, index, choice).select(choice.one)
        found = reader.read(entry)
        if isinstance(found, Manifest):
            return found, entry.platform
        index = found
    raise InvalidImage(f'{reader.reference} has indexes nested more than {DEEPEST} deep')


def _opened(reader: ManifestReader, subject: Digest, listed: Sequence[Descriptor],
            tagged: Sequence[tuple[str, Manifest | Index]]) -> list[Referrer]:
    contents = reader.open([*listed, *(reader.take(document) for _, document in tagged)])
    for entry in listed:
        if subject_of(reader.document(entry.digest)) != subject:
            raise InvalidImage(f'{entry.digest} is listed as a referrer of {subject}, but has another subject')
    return [*(Referrer(content, subject=subject) for content in contents[:len(listed)]),
            *(Referrer(content, tag=tag) for content, (tag, _) in zip(contents[len(listed):], tagged, strict=True))]


def _digests_of(content: Content) -> list[Digest]:
    """Return the digests of all manifests of an image or an index."""
    documents = [each.index if isinstance(each, ImageIndex) else each.manifest for each in all_contents(content)]
    return [document.digest for document in documents if document]
