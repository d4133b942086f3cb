"""Checking metadata: config and manifest, the layers' numbers, sizes and compressions."""
from collections.abc import Iterator, Mapping
from typing import Any

from occystrap_core.checks.config_fields import wrong_fields
from occystrap_core.checks.findings import Findings, rule_of
from occystrap_core.errors import ImageError, InvalidImage
from occystrap_core.files.compression import Peeked, detect_compression
from occystrap_core.image.image import Image, ImageIndex
from occystrap_core.image.layer import Layer
from occystrap_core.oci import media_types
from occystrap_core.oci.config_json import parse_config
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.documents import parse_object
from occystrap_core.oci.field_names import CONFIG_FIELDS, EXACT, MANIFEST_FIELDS, FieldNames
from occystrap_core.oci.manifest import Index, Manifest


def check_metadata(image: Image, findings: Findings) -> None:
    """Check config and manifest (image-spec config.md, manifest.md); reads no layer."""
    _check_config(image, findings)
    if image.manifest:
        check_document(image.manifest, str(image.reference), findings)
        _check_manifest(image.manifest, str(image.reference), findings)
    _check_platforms(image, findings)


def check_document(document: Manifest | Index, name: str, findings: Findings) -> None:
    """Check that a manifest or index has the media type that it declares, and with which it was served."""
    said = parse_object(document.raw, 'the manifest', names=MANIFEST_FIELDS)
    if not said.get('mediaType'):
        findings.add('manifest-untyped', f'{name}: the manifest has no mediaType')
    if said.get('schemaVersion') is None:
        findings.add('manifest-version', f'{name}: the manifest has no schemaVersion')
    if document.served_as is not None and media_types.essence(document.served_as) != document.media_type:
        findings.add('manifest-content-type', f'{name}: the manifest, a {document.media_type}, is served as '
                                              f'{document.served_as or "nothing"!r}')
    _check_spelling(document.raw, MANIFEST_FIELDS, f'{name}: the manifest', findings)
    _check_fields(said, name, findings)
    if isinstance(document, Index):
        for entry in document.manifests:
            if media_types.is_generic(entry.media_type):
                findings.add('entry-media-type', f'{name}: {entry.digest} is listed as {entry.media_type!r}')


def _check_fields(said: Mapping[str, Any], name: str, findings: Findings) -> None:
    """Check fields that are not needed to copy an image, and make programs in Go refuse the document."""
    annotations = said.get('annotations')
    if annotations is not None and not (isinstance(annotations, dict) and all(
            isinstance(each, str | None) for each in annotations.values())):
        findings.add('manifest-fields', f'{name}: the annotations of the manifest are not an object of strings')
    if not isinstance(said.get('artifactType'), str | None):
        findings.add('manifest-fields', f'{name}: the artifactType of the manifest is not a string')
    try:
        if said.get('subject') is not None:
            Descriptor.from_json(said['subject'], 'the subject')
    except InvalidImage as error:
        findings.add(rule_of(error, 'manifest-fields'), f'{name}: {error}')


def check_index(index: ImageIndex, findings: Findings) -> None:
    """Check an index, and the indexes in it, without their images."""
    check_document(index.index, str(index.reference), findings)
    _check_platforms(index, findings)
    for child in index.children:
        if isinstance(child.content, ImageIndex):
            check_index(child.content, findings)


def _check_manifest(manifest: Manifest, name: str, findings: Findings) -> None:
    types = (manifest.media_type, manifest.config.media_type, *(layer.media_type for layer in manifest.layers))
    families = {each.startswith('application/vnd.docker.') for each in types if not media_types.is_generic(each)}
    if len(families) > 1:
        findings.add('media-types-mixed', f'{name}: media types of Docker and of OCI in one manifest')
    if manifest.config.media_type not in media_types.CONFIGS:
        findings.add('config-media-type', f'{name}: the config is listed as {manifest.config.media_type!r}')
    if not manifest.layers and parse_object(manifest.raw, 'the manifest', names=MANIFEST_FIELDS).get('layers') is None:
        findings.add('layers-missing', f'{name}: the manifest has no list of layers, expected an empty one')


def _check_platforms(content: Image | ImageIndex, findings: Findings) -> None:
    if content.origin and (count := content.origin.unlabelled):
        findings.add('platform-missing', f'{content.reference}: {count} images in the index have no platform there')


def _check_spelling(raw: bytes, names: FieldNames, what: str, findings: Findings) -> None:
    for written, meant in respelled(parse_config(raw, what, EXACT), parse_config(raw, what, names)):
        findings.add('field-case', f'{what} has {written!r} for {meant!r}')


def respelled(written: object, read: object) -> Iterator[tuple[str, str]]:
    """Yield the names of fields that are written in another case than specified, and the specified ones.

    `written` is a document with the names as they are, `read` the same document as core reads it.
    """
    if isinstance(written, dict) and isinstance(read, dict):
        for (name, inner), (meant, other) in zip(written.items(), read.items(), strict=True):
            if name != meant:
                yield name, meant
            yield from respelled(inner, other)
    elif isinstance(written, list) and isinstance(read, list):
        for inner, other in zip(written, read, strict=True):
            yield from respelled(inner, other)


def _check_config(image: Image, findings: Findings) -> None:
    document = image.config.document
    rootfs = document.get('rootfs') or {}
    kind = rootfs.get('type')
    if kind != 'layers' and (kind or image.diff_ids):  # BuildKit wrote {} for an image without layers
        findings.add('rootfs-type', f'rootfs.type is {kind!r}, expected layers')
    if rootfs.get('diff_ids') is None:
        findings.add('diff-ids-missing', 'the config has no list of diff_ids, expected an empty one')
    _check_spelling(image.config.raw, CONFIG_FIELDS, 'the config', findings)
    try:
        _ = image.config.platform
    except InvalidImage as error:
        findings.add(rule_of(error, 'config-invalid'), str(error))
    for each in wrong_fields(document):
        findings.add('config-fields', each)
    missing = [name for name in ('architecture', 'os') if not document.get(name)]
    if missing:
        findings.add('config-platform', f'the config does not say {" and ".join(missing)}')
    history = document.get('history')
    if history is None:
        return
    if not isinstance(history, list) or not all(isinstance(step, dict) for step in history):
        findings.add('history-invalid', 'history is not a list of objects')
        return
    steps = sum(not step.get('empty_layer') for step in history)
    if steps != len(image.diff_ids):
        findings.add('history-count', f'{steps} steps of the history made a layer, there are {len(image.diff_ids)}')


def check_blobs(image: Image, findings: Findings) -> None:
    """Check each layer's size at the source, and its compression by its first bytes."""
    for layer in image.layers:
        digest = layer.descriptor.digest if layer.descriptor else layer.diff_id
        try:
            _check_blob(layer, findings)
        except ImageError as error:
            findings.add(rule_of(error, 'layer-missing'), str(error), layer.index, digest)


def _check_blob(layer: Layer, findings: Findings) -> None:
    blob = layer.descriptor
    if blob is None:
        return
    if layer.base:
        findings.add('layer-left-out', f'{layer.base} has it', layer.index, blob.digest)
        return
    size = layer.present_size()
    if size not in (None, blob.size):
        findings.add('layer-size', f'the source has {size} bytes of it, the manifest says {blob.size}', layer.index,
                     blob.digest)
    promised = media_types.layer_compression(blob.media_type)
    with layer.stored() as stream:
        actual = detect_compression(Peeked(stream).peek())
    if actual is not promised:
        findings.add('layer-media-type', f'it is {actual.text}, its media type '
                                         f'{media_types.said_of_layer(blob.media_type)}', layer.index, blob.digest)
