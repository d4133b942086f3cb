"""Image manifests and indexes, raw bytes and parsed together (image-spec manifest.md, image-index.md)."""
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from occystrap_core.errors import ImageNotFound, InvalidImage, set_error_rule
from occystrap_core.oci import media_types
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import SHA256, Digest
from occystrap_core.oci.documents import dump_json, list_or_null, parse_object
from occystrap_core.oci.field_names import MANIFEST_FIELDS
from occystrap_core.oci.platform import Platform, PlatformChoice

ATTESTED = 'vnd.docker.reference.digest'
"""The annotation of BuildKit's attestation entries that has the digest of what they are about."""


_CONFUSED = 'manifest-media-type'


class Manifest(NamedTuple):
    """One image: its config and its layers, lowest first. `raw` is what the source served, byte for byte."""

    raw: bytes
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    algorithm: str = SHA256
    """The algorithm of its digest where it was found."""
    served_as: str | None = None
    """The Content-Type with which a registry served it; empty for none, None if it was not served."""

    @property
    def digest(self) -> Digest:
        """The digest of the raw bytes."""
        return Digest.of(self.raw, self.algorithm)

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of this manifest."""
        return Descriptor(self.media_type, self.digest, len(self.raw))

    @property
    def is_image(self) -> bool:
        """Whether the media types are those of a container image, not of an artifact."""
        return self.config.media_type in media_types.CONFIGS and all(
            media_types.is_layer(layer.media_type) for layer in self.layers)

    @property
    def may_be_image(self) -> bool:
        """Whether it is an image, or one if its config says so: old and odd images have media types by mistake."""
        if self.is_image:
            return True
        if not media_types.may_be_config(self.config.media_type) or not all(
                media_types.may_be_layer(layer.media_type) for layer in self.layers):
            return False
        return not _parsed(self.raw, 'the manifest').get('artifactType')

    def is_image_with(self, config: bytes) -> bool:
        """Return whether it is an image, given its config."""
        return self.is_image or (self.may_be_image and ImageConfig.describes(config, len(self.layers)))

    @property
    def annotations(self) -> dict[str, str]:
        """The manifest's own annotations."""
        annotations = _parsed(self.raw, 'the manifest').get('annotations') or {}
        return dict(annotations) if isinstance(annotations, dict) else {}

    @classmethod
    def parse(cls, raw: bytes, media_type: str | None = None, algorithm: str = SHA256) -> Self:
        """Return the manifest in `raw`; raises InvalidImage if it is not a manifest or contradicts `media_type`."""
        with set_error_rule('manifest'):
            document = _parsed(raw, 'the manifest')
            kind = _manifest_kind(document, media_type)
            if kind not in media_types.MANIFESTS:
                raise InvalidImage(f'the manifest has media type {kind!r}, which is not that of one image', _CONFUSED)
            layers = list_or_null(document, 'layers', 'the manifest')
            return cls(raw, kind, Descriptor.from_json(document.get('config'), 'the manifest'),
                       tuple(Descriptor.from_json(layer, 'the manifest') for layer in layers), algorithm)

    @classmethod
    def build(cls, config: Descriptor, layers: Sequence[Descriptor], media_type: str = media_types.OCI_MANIFEST,
              annotations: dict[str, str] | None = None) -> Self:
        """Return a new manifest: the same bytes for the same parts."""
        document: dict[str, Any] = {'schemaVersion': 2, 'mediaType': media_type, 'config': config.to_json(),
                                    'layers': [layer.to_json() for layer in layers]}
        if annotations:
            document['annotations'] = annotations
        return cls(dump_json(document), media_type, config, tuple(layers))


class Index(NamedTuple):
    """Several manifests, by platform. `raw` is what the source served, byte for byte."""

    raw: bytes
    media_type: str
    manifests: tuple[Descriptor, ...]
    algorithm: str = SHA256
    """The algorithm of its digest where it was found."""
    served_as: str | None = None
    """The Content-Type with which a registry served it; empty for none, None if it was not served."""

    @property
    def digest(self) -> Digest:
        """The digest of the raw bytes."""
        return Digest.of(self.raw, self.algorithm)

    @classmethod
    def parse(cls, raw: bytes, media_type: str | None = None, algorithm: str = SHA256) -> Self:
        """Return the index in `raw`; raises InvalidImage if it is not an index or contradicts `media_type`."""
        with set_error_rule('index'):
            document = _parsed(raw, 'the index')
            kind = _manifest_kind(document, media_type)
            if kind not in media_types.INDEXES:
                raise InvalidImage(f'the index has media type {kind!r}, which is not that of an index', _CONFUSED)
            entries = list_or_null(document, 'manifests', 'the index')
            return cls(raw, kind, tuple(Descriptor.from_json(entry, 'the index') for entry in entries), algorithm)

    @classmethod
    def build(cls, manifests: Sequence[Descriptor], media_type: str = media_types.OCI_INDEX) -> Self:
        """Return a new index: the same bytes for the same entries."""
        entries = [entry.to_json() for entry in manifests]
        return cls(dump_json({'schemaVersion': 2, 'mediaType': media_type, 'manifests': entries}), media_type,
                   tuple(manifests))

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of this index."""
        return Descriptor(self.media_type, self.digest, len(self.raw))

    @property
    def attestations(self) -> list[Digest]:
        """The digests of BuildKit's attestations, which refer to other entries by digest; in Docker's lists they are
        recognized only by their platform."""
        return [entry.digest for entry in self.manifests
                if ATTESTED in entry.annotations or (entry.platform and entry.platform.os == 'unknown')]

    def replaced(self, pointers: Mapping[int, Descriptor]) -> Self:
        """Return an index of only the entries at these positions, with these descriptors' media type, digest and size.

        If no digest changes it is this index, byte for byte.
        """
        new = {place: (each.media_type, each.digest, each.size) for place, each in sorted(pointers.items())}
        if [(place, digest) for place, (_, digest, _) in new.items()] == [
                (place, entry.digest) for place, entry in enumerate(self.manifests)]:
            return self
        document = _parsed(self.raw, 'the index')
        entries = []
        for place, (kind, digest, size) in new.items():
            entry = {**document['manifests'][place], 'mediaType': kind, 'digest': str(digest), 'size': size}
            if digest != self.manifests[place].digest:
                entry.pop('data', None)  # it belongs to the replaced manifest
            entries.append(entry)
        return type(self).parse(dump_json({**document, 'manifests': entries}), self.media_type)

    def extended(self, more: Sequence[Descriptor]) -> Self:
        """Return this index with further entries at its end."""
        document = _parsed(self.raw, 'the index')
        entries = [*list_or_null(document, 'manifests', 'the index'), *(entry.to_json() for entry in more)]
        return type(self).parse(dump_json({**document, 'manifests': entries}), self.media_type)

    def places(self, choice: PlatformChoice) -> list[int]:
        """Return the positions of the entries that `choice` selects, and of their attestations.

        Raises ImageNotFound, listing the platforms, for a platform that is missing.
        """
        if not choice.platforms:
            return list(range(len(self.manifests)))
        chosen = [self.select(platform) for platform in choice.platforms]
        digests = {entry.digest for entry in chosen}
        return [place for place, entry in enumerate(self.manifests)
                if any(entry is each for each in chosen) or entry.annotations.get(ATTESTED) in digests]

    def select(self, platform: Platform) -> Descriptor:
        """Return the entry of a platform; raises ImageNotFound, listing the platforms, if there is none."""
        images = [entry for entry in self.manifests if entry.platform]
        fitting = [entry for entry in images if entry.platform and entry.platform.satisfies(platform)]
        if fitting:  # an exact match before the usual variant before any other; min takes the first of equals
            return min(fitting, key=lambda entry: (entry.platform != platform, _usual(entry) != platform.normal))
        there = ', '.join(sorted({str(entry.platform) for entry in images
                                  if entry.platform and entry.platform.os != 'unknown'})) or 'none'
        raise ImageNotFound(f'no image for platform {platform}; available: {there}')


def _usual(entry: Descriptor) -> Platform | None:
    return entry.platform.normal if entry.platform else None


def parse_manifest_or_index(raw: bytes, media_type: str | None = None, algorithm: str = SHA256) -> Manifest | Index:
    """Return the manifest or index in `raw`, by its own fields; raises InvalidImage if they contradict `media_type`.

    `algorithm` is that of the digest by which it was found.
    """
    with set_error_rule('manifest'):
        document = _parsed(raw, 'the manifest')
        if _manifest_kind(document, media_type) in media_types.INDEXES:
            return Index.parse(raw, media_type, algorithm)
        return Manifest.parse(raw, media_type, algorithm)


def _parsed(raw: bytes, what: str) -> dict[str, Any]:
    return parse_object(raw, what, names=MANIFEST_FIELDS)


def _manifest_kind(document: dict[str, Any], served_as: str | None) -> str:
    """Return the media type, on which field, header and structure must agree (a disagreement is CVE-2021-41190)."""
    version = document.get('schemaVersion')
    if version == 1:
        raise InvalidImage('the manifest has the obsolete schema version 1: push the image again with a newer tool')
    has_parts = not {'config', 'manifests'}.isdisjoint(document)
    if version is None and not has_parts and 'artifactType' in document:
        raise InvalidImage('the manifest is an artifact manifest, a form that OCI has withdrawn: push the artifact '
                           'again with a newer tool')
    if version is not None and (version != 2 or not isinstance(version, int)) or (version is None and not has_parts):
        raise InvalidImage('the manifest has no schemaVersion 2')
    if 'manifests' in document and ('layers' in document or 'config' in document):
        raise InvalidImage('the manifest has both layers and manifests, so it is ambiguous', _CONFUSED)
    if 'fsLayers' in document:
        raise InvalidImage('the manifest has fsLayers, a field of the obsolete schema version 1, so it is '
                           'ambiguous', _CONFUSED)
    declared = document.get('mediaType')
    if declared is not None and not isinstance(declared, str):
        raise InvalidImage('the manifest has a mediaType that is not a string', _CONFUSED)
    known = (*media_types.MANIFESTS, *media_types.INDEXES)
    served = media_types.essence(served_as) if served_as else None
    served = served if served in known else None
    if declared and served and declared != served:
        raise InvalidImage(f'the manifest says it is {declared!r} but was served as {served!r}', _CONFUSED)
    kind = declared or served or (media_types.OCI_INDEX if 'manifests' in document else media_types.OCI_MANIFEST)
    if (kind in media_types.INDEXES) != ('manifests' in document) and kind in known:
        raise InvalidImage(f'the manifest says it is {kind!r} but lacks its fields', _CONFUSED)
    return kind
