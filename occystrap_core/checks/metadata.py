"""Checking metadata: config and manifest, the layers' numbers, sizes and compressions."""
from occystrap_core.checks.findings import Findings, rule_of
from occystrap_core.errors import ImageError
from occystrap_core.files.compression import Peeked, detect_compression
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer
from occystrap_core.oci import media_types


def check_metadata(image: Image, findings: Findings) -> None:
    """Check config and manifest (image-spec config.md, manifest.md); reads no layer."""
    _check_config(image, findings)
    if image.manifest:
        kinds = {media_type.startswith('application/vnd.docker.') for media_type in (
            image.manifest.media_type, image.manifest.config.media_type,
            *(layer.media_type for layer in image.manifest.layers))}
        if len(kinds) > 1:
            findings.add('media-types-mixed', f'{image.reference}: media types of Docker and of OCI in one manifest')


def _check_config(image: Image, findings: Findings) -> None:
    document = image.config.document
    kind = document['rootfs'].get('type')
    if kind != 'layers' and (kind or image.diff_ids):  # BuildKit wrote {} for an image without layers
        findings.add('rootfs-type', f'rootfs.type is {kind!r}, layers is expected')
    missing = [name for name in ('architecture', 'os') if not document.get(name)]
    if missing:
        findings.add('config-platform', f'the config does not say {" and ".join(missing)}')
    history = document.get('history')
    if history is None:
        return
    if not isinstance(history, list) or not all(isinstance(step, dict) for step in history):
        findings.add('history-invalid', 'history is no list of objects')
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
    size = layer.present_size()
    if size not in (None, blob.size):
        findings.add('layer-size', f'the source has {size} bytes of it, the manifest says {blob.size}', layer.index,
                     blob.digest)
    promised = media_types.layer_compression(blob.media_type)
    with layer.stored() as stream:
        actual = detect_compression(Peeked(stream).peek())
    if actual is not promised:
        findings.add('layer-media-type', f'it is {actual.text}, its media type says {promised.text}', layer.index,
                     blob.digest)
