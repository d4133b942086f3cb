"""The layers of an image in containerd's store, read from a first export, of which nothing is copied.

That store may hold an image for several platforms. It exports all of them, in the order of the digests, so that a layer
may come before the manifest it belongs to, and its API does not list the layers of each (Docker up to 27).
"""
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from occystrap_core import ImageNotFound, InvalidImage
from occystrap_core.oci import Index, Platform
from occystrap_docker.daemon.daemon import Daemon
from occystrap_docker.daemon.image_list import ImageFacts
from occystrap_docker.export.documents import Contained, distance
from occystrap_docker.export.export import Export


def resolved(daemon: Daemon, facts: ImageFacts, image: str, requested: Platform | None = None) -> ImageFacts:
    """Return the facts of an image with its manifest and the blobs of its layers, if an export may have others.

    It is the image for the `requested` platform, by default the one that the daemon reports; `image` names it in
    errors. Raises ImageNotFound with the available platforms, ServiceError, InvalidImage.
    """
    if facts.blobs is not None or not daemon.may_export_platforms(facts):
        return facts
    with closing(daemon.export(facts)) as stream:
        export = Export(stream, facts, image)
        images = export.images()
    skipped = f'; an invalid image was skipped: {export.trouble}' if export.trouble else ''
    found = (_of_platform(images, requested, image, skipped) if requested
             else _as_reported(images, facts, image, skipped))
    blobs = {layer.digest: diff_id for layer, diff_id in zip(found.manifest.layers, found.config.diff_ids)}
    return replace(facts, diff_ids=found.config.diff_ids, platform=found.descriptor.platform,
                   manifest=found.manifest.digest, blobs=blobs, platforms=_platforms(images))


def _platforms(images: Sequence[Contained]) -> tuple[str, ...]:
    """Return the platforms if there are several."""
    return tuple(str(each.descriptor.platform) for each in images) if len(images) > 1 else ()


def _of_platform(images: Sequence[Contained], requested: Platform, image: str, skipped: str) -> Contained:
    if len(images) == 1 and images[0].config.platform.may_be(requested):
        return images[0]
    try:
        chosen = Index.build([each.descriptor for each in images]).select(requested)
    except ImageNotFound as error:
        raise ImageNotFound(f'{image}: {error}{skipped}') from None
    return next(each for each in images if each.descriptor == chosen)


def _as_reported(images: Sequence[Contained], facts: ImageFacts, image: str, skipped: str) -> Contained:
    """Return the image that the daemon reports; of several with the same layers the one for its platform."""
    matching = [each for each in images if each.config.diff_ids == facts.diff_ids]
    if not matching:
        raise InvalidImage(f'the daemon exported {image} without the manifest of the layers that it reports{skipped}')
    platform = facts.platform
    return min(matching, key=lambda each: (distance(each.config, platform), each.descriptor.platform != platform))
