"""What was requested, and what the source gave: digest, platform, a part of an index."""
import pytest

from occystrap_core import Image, ImageIndex, ImageNotFound, Settings
from occystrap_core.files import DigestMismatch
from occystrap_core.image.image import Child, Content
from occystrap_core.image.origin import Origin
from occystrap_core.oci import Digest, ImageConfig, Index, Platform, Reference, dump_json, media_types
from occystrap_core.tasks.request_check import (
    platforms_taken, platforms_there, require_platform_at_end, require_requested, selection_note,
)
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.unit.core.pipeline.indexes import REFERENCE, artifact, descriptor_of
from tests.unit.core.pipeline.memory import Stream
from tests.unit.core.pipeline.test_image_copy import image_of

AMD, ARM = Platform.parse('linux/amd64'), Platform.parse('linux/arm64')


def of_arm(content: bytes) -> Image:
    """Return an image whose config is for arm64."""
    image = image_of(content)
    return Image(image.reference, ImageConfig.parse(sample_config([content], 'arm64')), image.layers)


def index_of(contents: list[Content], platforms: list[dict[str, str] | None], taken: list[int],
             origin: Origin) -> ImageIndex:
    """Return an index of which the entries at some places were taken."""
    entries = [{**descriptor_of(content).to_json(), **({'platform': platform} if platform else {})}
               for content, platform in zip(contents, platforms, strict=True)]
    raw = dump_json({'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': entries})
    found = ImageIndex(REFERENCE, Index.parse(raw), [Child(place, contents[place]) for place in taken])
    found.origin = origin
    return found


IMAGES = [image_of(name * 512) for name in (b'a', b'b', b'c')]
LABELS: list[dict[str, str] | None] = [AMD.to_json(), ARM.to_json(), {'os': 'unknown', 'architecture': 'unknown'}]


@pytest.mark.parametrize(('taken', 'platforms'), [
    ([0, 1, 2], ['linux/amd64', 'linux/arm64']), ([1], ['linux/arm64']), ([2], []), ([], [])])
def test_platforms_of_an_index_are_those_of_its_images(taken: list[int], platforms: list[str]) -> None:
    there = Origin(Digest.of(b'index'), ('linux/amd64', 'linux/arm64'))
    found = index_of(list(IMAGES), LABELS, taken, there)
    assert platforms_taken(found) == platforms and platforms_there(found) == ('linux/amd64', 'linux/arm64')
    note = selection_note(found)
    assert note == ([] if len(platforms) == 2 else [
        f'many:v1: {len(platforms)} of 2 platforms of the index {Digest.of(b"index")}: {", ".join(platforms)} '
        '(--platform chooses)'])


def test_an_entry_without_a_platform_is_unknown() -> None:
    found = index_of(list(IMAGES), [AMD.to_json(), None, ARM.to_json()], [0, 1],
                     Origin(None, ('linux/amd64', 'unknown', 'linux/arm64')))
    assert platforms_taken(found) == ['linux/amd64', 'unknown']
    assert selection_note(found) == [
        'many:v1: 2 of 3 platforms of the index: linux/amd64, unknown (--platform chooses)']


def test_a_single_image_has_a_note_only_if_it_is_one_of_an_index() -> None:
    image = image_of(b'a' * 512)
    assert platforms_taken(image) == ['linux/amd64'] and platforms_there(image) == () and selection_note(image) == []
    image.origin = Origin(Digest.of(b'index'), ('linux/amd64',))
    assert selection_note(image) == [f'sample:v1: 1 of 1 platforms of the index {Digest.of(b"index")}: linux/amd64 '
                                     '(--platform chooses)']
    image.origin = Origin(Digest.of(b'manifest'))
    assert selection_note(image) == [] and platforms_taken(artifact()) == [] == list(platforms_there(artifact()))


@pytest.mark.parametrize(('pinned', 'found', 'is_right'), [
    (None, Digest.of(b'a'), True), (Digest.of(b'a'), Digest.of(b'a'), True), (Digest.of(b'a'), Digest.of(b'b'), False),
    (Digest.of(b'a'), None, True)])
def test_a_pinned_digest_must_be_that_of_the_source(pinned: Digest | None, found: Digest | None,
                                                    is_right: bool) -> None:
    image = image_of(b'a' * 512)
    image.origin = Origin(found)
    reference = Reference('app', 'v1', pinned)
    if is_right:
        require_requested(image, reference, Settings())
    else:
        with pytest.raises(DigestMismatch, match=f'app:v1.*: the source returned {found}'):
            require_requested(image, reference, Settings())
    image.origin = None
    require_requested(image, reference, Settings())


@pytest.mark.parametrize(('requested', 'fits'), [(None, True), (AMD, True), (ARM, False),
                                                 (Platform.parse('linux/amd64/v2'), True)])
def test_a_requested_platform_must_be_that_of_the_config(requested: Platform | None, fits: bool) -> None:
    settings = Settings(platform=requested)
    if fits:
        require_requested(image_of(b'a' * 512), REFERENCE, settings)
    else:
        with pytest.raises(ImageNotFound,
                           match='no image for platform linux/arm64 at sample:v1; available: linux/amd64'):
            require_requested(image_of(b'a' * 512), REFERENCE, settings)
    require_requested(artifact(), REFERENCE, settings)
    require_requested(index_of(list(IMAGES), LABELS, [0], Origin(None)), REFERENCE, settings)


def test_a_stream_is_checked_at_its_end() -> None:
    tars = sample_layers()
    arriving = Stream(REFERENCE, ImageConfig.parse(sample_config(tars)), tars)
    assert arriving.platform is None
    for layer in arriving.arrivals():
        with layer.tar() as stream:
            stream.drain()
    require_platform_at_end(arriving, Settings(platform=AMD))
    with pytest.raises(ImageNotFound, match='no image for platform linux/arm64'):
        require_platform_at_end(arriving, Settings(platform=ARM))
    require_platform_at_end(of_arm(b'a' * 512), Settings(platform=AMD))  # was checked when it was opened
