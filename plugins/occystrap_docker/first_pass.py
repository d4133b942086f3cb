"""What an image of containerd's store consists of, read from an export that nothing is copied from.

That store may hold an image for several platforms, all of which it exports, in the order of the digests: a layer comes
before what tells whose layer it is. No question that a daemon answers tells it either (Docker up to 27).
"""
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

from occystrap_core import ImageNotFound, InvalidImage
from occystrap_core.oci import Digest, ImageConfig, Manifest, Platform
from occystrap_docker.daemon import Daemon, ImageFacts
from occystrap_docker.export import Export


def blobs_of(daemon: Daemon, facts: ImageFacts, image: str) -> Mapping[Digest, Digest] | None:
    """Return the diff_ids of an image's layers by the digests of their blobs, None where an export has no others.

    `image` names it in errors. Raises ServiceError, InvalidImage.
    """
    if not daemon.may_keep_others(facts):
        return None
    for manifest, config in _images(daemon, facts, image):
        if config.diff_ids == facts.diff_ids:
            return {layer.digest: diff_id for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True)}
    raise InvalidImage(f'the daemon exported {image} without the manifest of the layers that it says the image has')


def for_platform(daemon: Daemon, facts: ImageFacts, image: str, wanted: Platform) -> ImageFacts:
    """Return the facts of the same image for another platform, where the daemon has it for several.

    Raises ImageNotFound, listing them, when that is not among them; else as `blobs_of`.
    """
    if not daemon.may_keep_others(facts):
        return facts
    configs = [config for _, config in _images(daemon, facts, image)]
    for config in configs:
        if config.platform.may_be(wanted):
            return replace(facts, diff_ids=config.diff_ids, platform=config.platform)
    there = ', '.join(dict.fromkeys(str(config.platform) for config in configs))
    raise ImageNotFound(f'no image for platform {wanted} at {image}; there is: {there}')


def _images(daemon: Daemon, facts: ImageFacts, image: str) -> list[tuple[Manifest, ImageConfig]]:
    with closing(daemon.export(facts)) as stream:
        return Export(stream, facts, image).images()
