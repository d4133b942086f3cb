"""What an image of containerd's store consists of, read from an export that nothing is copied from.

That store may hold an image for several platforms, all of which it exports, in the order of the digests: a layer comes
before what tells whose layer it is. No question that a daemon answers tells it either (Docker up to 27).
"""
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from occystrap_core import ImageNotFound, InvalidImage
from occystrap_core.oci import Index, Platform
from occystrap_docker.daemon import Daemon, ImageFacts
from occystrap_docker.documents import Contained
from occystrap_docker.export import Export


def resolved(daemon: Daemon, facts: ImageFacts, image: str, wanted: Platform | None = None) -> ImageFacts:
    """Return the facts of an image with its manifest and the blobs of its layers, where an export may have others.

    It is the image for the platform `wanted`, else the one that the daemon tells of; `image` names it in errors. Raises
    ImageNotFound, listing what there is, ServiceError, InvalidImage.
    """
    if facts.blobs is not None or not daemon.may_keep_others(facts):
        return facts
    with closing(daemon.export(facts)) as stream:
        there = Export(stream, facts, image).images()
    found = _of_platform(there, wanted, image) if wanted else _as_told(there, facts, image)
    blobs = {layer.digest: diff_id for layer, diff_id in zip(found.manifest.layers, found.config.diff_ids)}
    return replace(facts, diff_ids=found.config.diff_ids, platform=found.descriptor.platform,
                   manifest=found.manifest.digest, blobs=blobs)


def _of_platform(there: Sequence[Contained], wanted: Platform, image: str) -> Contained:
    try:
        chosen = Index.build([each.descriptor for each in there]).select(wanted)
    except ImageNotFound as error:
        raise ImageNotFound(f'{image}: {error}') from None
    return next(each for each in there if each.descriptor == chosen)


def _as_told(there: Sequence[Contained], facts: ImageFacts, image: str) -> Contained:
    """Return what the daemon tells of: another platform may have the same layers."""
    alike = [each for each in there if each.config.diff_ids == facts.diff_ids]
    if not alike:
        raise InvalidImage(f'the daemon exported {image} without the manifest of the layers that it says the image has')
    return next((each for each in alike if facts.platform and each.config.platform.may_be(facts.platform)), alike[0])
