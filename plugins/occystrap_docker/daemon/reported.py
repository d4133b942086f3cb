"""A daemon's report about an image from inspect and history, without an export."""
from collections.abc import Sequence
from typing import Any

from occystrap_core import ServiceError
from occystrap_core.tar import ReportedImage
from occystrap_docker.daemon.daemon import Daemon
from occystrap_docker.daemon.image_list import ImageFacts

_NOTE = ('as the daemon reports it: sizes are those of unpacked files; the digests of blobs are not known without an '
         'export or a push')
_NO_HISTORY = '; it did not give the history: '
_NO_ID = '; so is the image ID, since this daemon names images by their manifests'


def reported(daemon: Daemon, facts: ImageFacts) -> ReportedImage:
    """Return the report; raises ImageNotFound if the image was removed meanwhile, ServiceError."""
    document, steps, note = daemon.description(facts.id), list[dict[str, Any]](), _NOTE
    try:
        steps = daemon.history(facts.id)
    except ServiceError as error:  # Podman 4.3 and Docker 26 fail for some images, such as of steps without a time
        note += f'{_NO_HISTORY}{error}'
    sizes = [_size(each) for each in steps]
    made = _made_layers(sizes, len(facts.diff_ids))
    history = [{'created_by': each.get('CreatedBy'), 'comment': each.get('Comment'), 'empty_layer': not makes}
               for each, makes in zip(steps, made, strict=True)]
    config = {'created': document.get('Created'), 'config': document.get('Config'), 'history': history}
    digests = [each for each in document.get('RepoDigests') or () if isinstance(each, str)]
    by_manifest = daemon.names_images_by_manifest
    return ReportedImage(config, None if by_manifest else facts.id, facts.id if by_manifest else None, digests,
                         facts.size, sizes, note + (_NO_ID if by_manifest else ''))


def _made_layers(sizes: Sequence[int], layers: int) -> Sequence[bool]:
    """Return which steps have made layers; empty if unknown, since even a layer may have no files."""
    if len(sizes) == layers:
        return [True] * layers
    made = [size > 0 for size in sizes]
    return made if sum(made) == layers else [False] * len(sizes)


def _size(step: dict[str, Any]) -> int:
    size = step.get('Size')
    return size if isinstance(size, int) else 0
