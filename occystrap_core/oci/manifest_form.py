"""The two forms of manifests and indexes, Docker's and OCI's, and converting between them.

Config and layers are not changed, so the image ID stays; the digest of the manifest changes.
"""
from collections.abc import Callable
from enum import Enum
from typing import Any

from occystrap_core.errors import OutputError
from occystrap_core.oci import media_types
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.documents import dump_json, parse_object
from occystrap_core.oci.field_names import MANIFEST_FIELDS
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.media_types import Compression

_OF_REFERRERS = ('subject', 'artifactType')


class ManifestForm(Enum):
    """Docker's image manifest v2.2 and manifest list, or those of the OCI image spec."""

    DOCKER = 'docker'
    OCI = 'oci'

    @classmethod
    def of(cls, document: Manifest | Index) -> 'ManifestForm':
        """Return the form of a manifest or index, by its own media type."""
        return cls.DOCKER if document.media_type in (media_types.DOCKER_MANIFEST, media_types.DOCKER_INDEX) else cls.OCI

    @property
    def other(self) -> 'ManifestForm':
        """The other form."""
        return ManifestForm.OCI if self is ManifestForm.DOCKER else ManifestForm.DOCKER

    @property
    def text(self) -> str:
        """The form in words, for messages."""
        return "Docker's format" if self is ManifestForm.DOCKER else "OCI's format"

    @property
    def manifests(self) -> str:
        """What has this form, for messages."""
        return "Docker's manifests" if self is ManifestForm.DOCKER else 'OCI manifests'


Detect = Callable[[Descriptor], Compression]


def is_regular(document: Manifest | Index) -> bool:
    """Return whether a document states its media type and schemaVersion, and all its media types have its form."""
    parsed = _parsed(document)
    if (parsed.get('mediaType'), parsed.get('schemaVersion')) != (document.media_type, 2):
        return False
    return isinstance(document, Index) or has_form(document, ManifestForm.of(document))


def has_form(manifest: Manifest, form: ManifestForm) -> bool:
    """Return whether the media types of a manifest, its config and its layers are all those of a form."""
    kind, config = _types(form)
    layers = {layer_type(kind, compression, foreign) for compression in Compression for foreign in (False, True)}
    return (manifest.media_type, manifest.config.media_type) == (kind, config) and all(
        layer.media_type in layers for layer in manifest.layers)


def in_form(manifest: Manifest, form: ManifestForm, detect: Detect) -> Manifest:
    """Return an image's manifest in a form: itself, byte for byte, if it has that form.

    `detect` returns the compression of a layer whose media type does not state it. Raises OutputError for what the form
    cannot express: Docker's has no zstd, subject or artifactType. It has no annotations either; those are dropped.
    """
    return manifest if has_form(manifest, form) else made_anew(manifest, form, detect)


def made_anew(manifest: Manifest, form: ManifestForm, detect: Detect) -> Manifest:
    """Return a regular manifest in a form, converted as by `in_form`, also if it has that form already."""
    kind, config = _types(form)
    types = [_layer_type(kind, layer, detect) for layer in manifest.layers]
    if form is ManifestForm.DOCKER:
        _require_no_zstd(manifest, types)
        _require_no_referrer(manifest)
        layers = [Descriptor(media_type, layer.digest, layer.size, urls=layer.urls)
                  for media_type, layer in zip(types, manifest.layers, strict=True)]
        return Manifest.build(Descriptor(config, manifest.config.digest, manifest.config.size), layers, kind)
    document = _parsed(manifest)
    entries = [{**entry, 'mediaType': media_type}
               for entry, media_type in zip(document.get('layers') or [], types, strict=True)]
    return Manifest.parse(dump_json({**document, 'schemaVersion': 2, 'mediaType': kind,
                                     'config': {**document['config'], 'mediaType': config}, 'layers': entries}))


def index_in_form(index: Index, form: ManifestForm) -> Index:
    """Return an index in a form: itself, byte for byte, if it has that form. Its entries are not converted.

    Raises OutputError for what the form cannot express: Docker's lists only list Docker's manifests. They have no
    annotations; those are dropped.
    """
    return index if ManifestForm.of(index) is form else index_made_anew(index, form)


def index_made_anew(index: Index, form: ManifestForm) -> Index:
    """Return a regular index in a form, converted as by `index_in_form`, also if it has that form already."""
    if form is ManifestForm.OCI:
        return Index.parse(dump_json({**_parsed(index), 'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX}))
    _require_no_referrer(index)
    for entry in index.manifests:
        if entry.media_type != media_types.DOCKER_MANIFEST:
            raise OutputError(f'{form.text} cannot list {entry.digest}, which is a {entry.media_type}')
    kept = ('mediaType', 'size', 'digest', 'platform')
    entries = [{name: entry[name] for name in kept if entry.get(name) is not None}
               for entry in _parsed(index)['manifests']]
    return Index.parse(dump_json({'schemaVersion': 2, 'mediaType': media_types.DOCKER_INDEX, 'manifests': entries}))


def has_annotations(document: Manifest | Index) -> bool:
    """Return whether a manifest or index has annotations, on itself or on its entries."""
    parsed = _parsed(document)
    entries = [parsed, parsed.get('config'), *(parsed.get('layers') or ()), *(parsed.get('manifests') or ())]
    return any(entry.get('annotations') for entry in entries if isinstance(entry, dict))


def layer_type(kind: str, compression: Compression, foreign: bool) -> str:
    """Return the media type of a layer in manifests of media type `kind`."""
    plain = media_types.layer_media_type(kind, compression)
    if not foreign:
        return plain
    return (plain.replace(media_types.DOCKER_LAYER, media_types.DOCKER_FOREIGN_LAYER)
            .replace(media_types.OCI_LAYER, media_types.OCI_FOREIGN_LAYER))


def _types(form: ManifestForm) -> tuple[str, str]:
    """Return the media types of a manifest and of its config."""
    if form is ManifestForm.DOCKER:
        return media_types.DOCKER_MANIFEST, media_types.DOCKER_CONFIG
    return media_types.OCI_MANIFEST, media_types.OCI_CONFIG


def _layer_type(kind: str, layer: Descriptor, detect: Detect) -> str:
    compression = media_types.layer_compression(layer.media_type) or detect(layer)
    foreign = any(layer.media_type.startswith(each) for each in (
        media_types.DOCKER_FOREIGN_LAYER, media_types.OCI_FOREIGN_LAYER))
    return layer_type(kind, compression, foreign)


def _require_no_zstd(manifest: Manifest, types: list[str]) -> None:
    for layer, media_type in zip(manifest.layers, types, strict=True):
        if media_type.endswith('zstd'):
            raise OutputError(f'layer {layer.digest} is compressed with zstd, which {ManifestForm.DOCKER.text} lacks '
                              '(a copy by way of tar:// compresses with compression=gzip)')


def _require_no_referrer(document: Manifest | Index) -> None:
    parsed = _parsed(document)
    for name in _OF_REFERRERS:
        if parsed.get(name):
            raise OutputError(f'{document.digest} has the field {name}, which {ManifestForm.DOCKER.text} lacks')


def _parsed(document: Manifest | Index) -> dict[str, Any]:
    return parse_object(document.raw, 'the manifest', names=MANIFEST_FIELDS)
