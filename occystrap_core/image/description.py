"""Describing an image by its metadata alone; no layer is read."""
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from occystrap_core.image.artifact import Artifact
from occystrap_core.image.image import Image, ImageIndex
from occystrap_core.image.sequential_image import ReportedImage, SequentialImage
from occystrap_core.oci.config import ImageConfig

_SETTINGS = {'entrypoint': 'Entrypoint', 'command': 'Cmd', 'environment': 'Env', 'working_directory': 'WorkingDir',
             'user': 'User', 'ports': 'ExposedPorts', 'volumes': 'Volumes', 'stop_signal': 'StopSignal',
             'labels': 'Labels'}
"""Our names for fields in `config` (image-spec config.md)."""


def describe(content: Image | ImageIndex) -> dict[str, Any]:
    """Return a description for JSON; sizes are in bytes. That of an index consists of those of its children."""
    if isinstance(content, ImageIndex):
        return {'reference': str(content.reference), 'kind': 'index', 'digest': str(content.index.digest),
                'media_type': content.index.media_type,
                'manifests': [describe(child.content) for child in content.children]}
    manifest = content.manifest
    described: dict[str, Any] = {'reference': str(content.reference), 'kind': 'image'}
    if manifest:
        described |= {'digest': str(manifest.digest), 'media_type': manifest.media_type}
    described |= _index(content)
    if isinstance(content, Artifact):
        return {**described, 'kind': 'artifact', **_delta(content),
                'blobs': [_blob(layer.descriptor) for layer in content.layers]}
    return {**described, **_delta(content), **_configured(content), 'layers': _layers(content)}


def _index(image: Image) -> dict[str, Any]:
    """Return which index one image was taken from, and all platforms of it, for JSON; empty if it stands alone."""
    if not image.origin or not image.origin.platforms:
        return {}
    return {'index': image.origin.digest and str(image.origin.digest), 'platforms': list(image.origin.platforms)}


def _delta(image: Image) -> dict[str, Any]:
    """Return what a delta leaves out of an image, for JSON."""
    bases = [layer.base for layer in image.layers if layer.base]
    names = ', '.join(dict.fromkeys(bases))
    return {'delta': f'leaves out {len(bases)} of {len(image.layers)} layers, of {names}'} if bases else {}


def creation_time(content: Image | ImageIndex) -> float | None:
    """Return the time at which an image was made, in seconds since 1970; for an index the latest of its images.

    An artifact has it in its annotations (image-spec, annotations.md). None if it is not known.
    """
    if isinstance(content, ImageIndex):
        return max(filter(None, (creation_time(child.content) for child in content.children)), default=None)
    document = content.manifest.annotations if isinstance(content, Artifact) else content.config.document
    written = document.get('org.opencontainers.image.created' if isinstance(content, Artifact) else 'created')
    try:
        when = datetime.fromisoformat(written) if isinstance(written, str) else None
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp() if when else None


def describe_reported(image: SequentialImage, said: ReportedImage) -> dict[str, Any]:
    """Return a description of an image from what its service reports."""
    layers = [{'diff_id': str(each)} for each in image.diff_ids]
    steps = _steps(said.config.get('history', ()), layers)
    for step, size in zip(steps, said.sizes):
        step |= {'size': size} if 'diff_id' in step or size else {}
    return {'reference': str(image.reference), 'kind': 'image', 'digest': said.digest and str(said.digest),
            'digests': list(said.digests), 'image_id': said.image_id and str(said.image_id),
            'platform': str(image.platform) if image.platform else None, **_document(said.config, said.size),
            'note': said.note, 'layers': steps}


def _configured(image: Image) -> dict[str, Any]:
    config = image.config
    size = sum(layer.stored_size for layer in image.layers)
    return {'image_id': str(config.digest), 'platform': str(config.platform), **_document(config.document, size)}


def _document(document: Mapping[str, Any], size: int) -> dict[str, Any]:
    given = document.get('config')
    settings = given if isinstance(given, dict) else {}
    return {'created': document.get('created'), 'size': size,
            **{ours: settings.get(theirs) for ours, theirs in _SETTINGS.items()}}


def _layers(image: Image) -> list[dict[str, Any]]:
    return _steps(image.config.history, [
        {'diff_id': str(diff_id), **_blob(layer.descriptor), 'size': layer.stored_size}
        for diff_id, layer in zip(image.diff_ids, image.layers, strict=True)])


def _steps(history: Iterable[Mapping[str, Any]], layers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the steps of the history, each with the layer it made; layers without a step come last."""
    described, rest = [], iter(layers)
    for step in history:
        layer = None if step.get('empty_layer') else next(rest, None)
        described.append({'created_by': step.get('created_by') or step.get('comment'), **(layer or {})})
    return [*described, *rest]


def steps_of_layers(config: ImageConfig, count: int) -> list[str | None]:
    """Return for each of `count` layers, the lowest first, the step of the history that made it; None if unknown."""
    steps = [step.get('created_by') or step.get('comment') for step in config.history if not step.get('empty_layer')]
    return [*steps, *[None] * count][:count]


def _blob(descriptor: Any) -> dict[str, Any]:
    return {'digest': str(descriptor.digest), 'media_type': descriptor.media_type} if descriptor else {}
