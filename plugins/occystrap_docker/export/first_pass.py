"""What an image of containerd's store consists of, read from an export that nothing is copied from.

That store may hold an image for several platforms, all of which it exports, in the order of the digests: a layer comes
before what tells whose layer it is. No question that a daemon answers tells it either (Docker up to 27).
"""
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from occystrap_core import ImageNotFound, InvalidImage
from occystrap_core.oci import Index, Platform
from occystrap_docker.daemon.daemon import Daemon, ImageFacts
from occystrap_docker.export.documents import Contained, distance
from occystrap_docker.export.export import Export


def resolved(daemon: Daemon, facts: ImageFacts, image: str, wanted: Platform | None = None) -> ImageFacts:
    """Return the facts of an image with its manifest and the blobs of its layers, where an export may have others.

    It is the image for the platform `wanted`, else the one that the daemon tells of; `image` names it in errors. Raises
    ImageNotFound, listing what there is, ServiceError, InvalidImage.
    """
    if facts.blobs is not None or not daemon.may_keep_others(facts):
        return facts
    with closing(daemon.export(facts)) as stream:
        export = Export(stream, facts, image)
        there = export.images()
    left_out = f'; what is left out: {export.trouble}' if export.trouble else ''
    found = _of_platform(there, wanted, image, left_out) if wanted else _as_told(there, facts, image, left_out)
    blobs = {layer.digest: diff_id for layer, diff_id in zip(found.manifest.layers, found.config.diff_ids)}
    return replace(facts, diff_ids=found.config.diff_ids, platform=found.descriptor.platform,
                   manifest=found.manifest.digest, blobs=blobs)


def _of_platform(there: Sequence[Contained], wanted: Platform, image: str, left_out: str) -> Contained:
    if len(there) == 1 and there[0].config.platform.may_be(wanted):
        return there[0]
    try:
        chosen = Index.build([each.descriptor for each in there]).select(wanted)
    except ImageNotFound as error:
        raise ImageNotFound(f'{image}: {error}{left_out}') from None
    return next(each for each in there if each.descriptor == chosen)


def _as_told(there: Sequence[Contained], facts: ImageFacts, image: str, left_out: str) -> Contained:
    """Return what the daemon tells of: another platform may have the same layers."""
    alike = [each for each in there if each.config.diff_ids == facts.diff_ids]
    if not alike:
        raise InvalidImage(f'the daemon exported {image} without the manifest of the layers that it says the image has'
                           f'{left_out}')
    told = facts.platform
    return min(alike, key=lambda each: (distance(each.config, told), each.descriptor.platform != told))
