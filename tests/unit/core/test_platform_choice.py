"""What to take of an index: how it is written, what it means, and what the entries bring along."""
import json

import pytest

from occystrap_core import ImageNotFound, InvalidImage, Settings, UsageError
from occystrap_core.oci import (
    Descriptor, Digest, Index, Manifest, Platform, PlatformChoice, media_types, referrer_of, referrers_tag, subject_of,
)

ARM, AMD = Platform.parse('linux/arm64'), Platform.parse('linux/amd64')


@pytest.mark.parametrize(('text', 'platforms'), [
    ('all', ()), (' ALL ', ()), ('linux/arm64', (ARM,)), ('linux/amd64,linux/arm64', (AMD, ARM)),
    ('linux/amd64, linux/aarch64', (AMD, ARM)), ('linux/arm64,linux/arm64', (ARM,))])
def test_choices(text: str, platforms: tuple[Platform, ...]) -> None:
    choice = PlatformChoice.parse(text)
    assert choice.platforms == platforms and choice.one == (ARM if platforms == (ARM,) else None)
    assert PlatformChoice.parse(str(choice)) == choice


@pytest.mark.parametrize('text', ['host', ' Host '])
def test_this_machine_is_a_choice(text: str) -> None:
    assert PlatformChoice.parse(text).one == Platform.of_host()
    assert PlatformChoice.parse(f'{text},linux/s390x').platforms == (Platform.of_host(), Platform('linux', 's390x'))


@pytest.mark.parametrize('text', ['', ',', 'linux/amd64,', 'all,linux/amd64', 'linux', 'linux/amd64;linux/arm64'])
def test_invalid_choices(text: str) -> None:
    with pytest.raises(UsageError, match='is not of the form os/architecture'):
        PlatformChoice.parse(text)


def test_settings_hold_one_platform_or_a_choice() -> None:
    one, several = Settings().choosing('linux/arm64'), Settings(platform=AMD).choosing('all')
    assert (one.platform, one.platforms) == (ARM, None)
    assert (several.platform, several.platforms) == (None, PlatformChoice())


def entry(name: str, platform: str = '', about: str = '') -> Descriptor:
    annotations = {'vnd.docker.reference.digest': about, 'vnd.docker.reference.type': 'attestation-manifest'}
    return Descriptor(media_types.OCI_MANIFEST, Digest.of(name.encode()), len(name),
                      Platform.parse(platform) if platform else None, annotations=annotations if about else {})


INDEX = Index.build([
    entry('amd', 'linux/amd64'), entry('arm', 'linux/arm64/v8'), entry('plain'),
    entry('amd-att', 'unknown/unknown', Digest.of(b'amd')), entry('arm-att', 'unknown/unknown', Digest.of(b'arm')),
    entry('arm7', 'linux/arm/v7')])


@pytest.mark.parametrize(('text', 'places'), [
    ('all', [0, 1, 2, 3, 4, 5]), ('linux/amd64', [0, 3]), ('linux/arm64,linux/amd64', [0, 1, 3, 4]),
    ('linux/arm/v7,linux/arm64/v8', [1, 4, 5])])
def test_attestations_come_with_what_they_are_about(text: str, places: list[int]) -> None:
    assert INDEX.places(PlatformChoice.parse(text)) == places


def test_a_missing_platform_lists_what_there_is() -> None:
    with pytest.raises(ImageNotFound, match='linux/s390x; available: linux/amd64, linux/arm/v7, linux/arm64/v8'):
        INDEX.places(PlatformChoice.parse('linux/amd64,linux/s390x'))


def test_an_index_is_extended_as_it_was_written() -> None:
    document = {'schemaVersion': 2, 'x': 1, 'manifests': [{**entry('a').to_json(), 'y': 2}]}
    old = Index.parse(json.dumps(document).encode())
    new = json.loads(old.extended([entry('b')]).raw)
    assert new['x'] == 1 and new['manifests'] == [{**entry('a').to_json(), 'y': 2}, entry('b').to_json()]


def manifest(**fields: object) -> Manifest:
    document = {'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST, 'layers': [],
                'config': {'mediaType': 'a/config', 'digest': Digest.of(b'{}'), 'size': 2}, **fields}
    return Manifest.parse(json.dumps(document).encode())


def test_referrers_are_listed_with_kind_and_annotations() -> None:
    subject = entry('image')
    signature = manifest(subject=subject.to_json(), artifactType='a/signature', annotations={'by': 'me'})
    assert subject_of(signature) == subject.digest and subject_of(manifest()) is None
    assert referrer_of(signature).to_json() == {
        'mediaType': media_types.OCI_MANIFEST, 'digest': signature.digest, 'size': len(signature.raw),
        'annotations': {'by': 'me'}, 'artifactType': 'a/signature'}
    assert referrer_of(manifest()).artifact_type == 'a/config'
    assert referrers_tag(subject.digest) == f'sha256-{subject.digest.hex}'


@pytest.mark.parametrize('fields', [{'subject': 7}, {'subject': {'digest': '../x'}}, {'subject': []}])
def test_malformed_subjects(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidImage):
        subject_of(manifest(**fields))


@pytest.mark.parametrize('fields', [{'artifactType': 7}, {'annotations': [1]}, {'annotations': {'a': 1}}])
def test_malformed_kinds_and_annotations(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidImage, match='malformed artifactType or annotations'):
        referrer_of(manifest(**fields))


@pytest.mark.parametrize(('config', 'layer', 'image'), [
    (media_types.OCI_CONFIG, f'{media_types.OCI_LAYER}+gzip', True), (media_types.DOCKER_CONFIG, None, True),
    (media_types.OCI_CONFIG, 'application/vnd.in-toto+json', False),
    ('application/vnd.oci.empty.v1+json', None, False)])
def test_media_types_distinguish_images_from_artifacts(config: str, layer: str | None, image: bool) -> None:
    layers = [Descriptor(layer, Digest.of(b'x'), 1)] if layer else []
    assert Manifest.build(Descriptor(config, Digest.of(b'{}'), 2), layers).is_image is image


@pytest.mark.parametrize(('given', 'requested'), [
    ('linux x86_64', 'linux/amd64'), ('Linux AMD64', 'linux/amd64'), ('linux aarch64', 'linux/arm64'),
    ('linux arm64 8', 'linux/arm64/v8'), ('linux arm 7', 'linux/arm/v7'), ('linux armhf', 'linux/arm/v7'),
    ('linux armel', 'linux/arm/v6'), ('linux i386', 'linux/386'), ('linux arm64', 'linux/arm64/8')])
def test_platforms_under_other_names(given: str, requested: str) -> None:
    actual, other = Platform(*given.split()), Platform('linux', 's390x')
    assert actual.satisfies(Platform.parse(requested)) and actual.may_be(Platform.parse(requested))
    assert not other.satisfies(Platform.parse(requested)) and not actual.satisfies(other)
    entries = [Descriptor(media_types.OCI_MANIFEST, Digest.of(each.encode()), 1, platform)
               for each, platform in (('a', other), ('b', actual))]
    assert Index.build(entries).select(Platform.parse(requested)).digest == Digest.of(b'b')
