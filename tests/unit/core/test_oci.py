"""Values of the image format: what is accepted, what is refused, and what keeps its bytes."""
import hashlib
import json
import re
from typing import Any

import pytest

from occystrap_core.errors import ImageNotFound, InvalidImage, UsageError
from occystrap_core.oci import (
    Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Reference, media_types, parse_manifest_or_index,
    referrers_tag,
)

HEX = 'a1' * 32
DIGEST = f'sha256:{HEX}'
POINTER = {'mediaType': media_types.OCI_CONFIG, 'digest': DIGEST, 'size': 3}
MANIFEST: dict[str, Any] = {'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST, 'config': POINTER, 'layers': []}
INDEX: dict[str, Any] = {'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': []}


def raw(document: object) -> bytes:
    """Return the document as JSON."""
    return json.dumps(document).encode()


@pytest.mark.parametrize('text', ['', 'sha256:', f'sha256:{HEX[1:]}', f'sha256:{HEX.upper()}', f'sha512:{HEX}', HEX,
                                  f'{DIGEST}\n', f'sha256:../../{HEX[6:]}', None, 5, 'sha256:' + 'g' * 64])
def test_invalid_digests_are_refused(text: object) -> None:
    with pytest.raises(InvalidImage, match='is not a digest'):
        Digest(text)


def test_digest_of_bytes() -> None:
    assert Digest.of(b'') == 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    assert Digest(DIGEST).hex == HEX and Digest(DIGEST).short == f'sha256:{HEX[:12]}'
    longer = Digest.of(b'', 'sha512')
    assert longer == f'sha512:{hashlib.sha512().hexdigest()}' and longer.algorithm == 'sha512'
    assert Digest.of_hex(longer.hex) == longer and Digest.of_hex(HEX) == DIGEST and longer.short == longer[:19]
    assert Digest.of_hash(hashlib.sha512(b'')) == longer


@pytest.mark.parametrize('text', [f'blake3:{HEX}', f'sha384:{HEX}{HEX[:32]}', f'md5:{HEX[:32]}', 'multihash+base58:Qm'])
def test_other_algorithms_are_named(text: str) -> None:
    algorithm = re.escape(text.partition(':')[0])
    with pytest.raises(InvalidImage, match=f'the digest algorithm {algorithm} is not supported: sha256 or sha512'):
        Digest(text)


def test_the_tag_for_referrers_of_a_longer_digest_has_room() -> None:
    digest = Digest.of(b'', 'sha512')
    assert referrers_tag(digest) == f'sha512-{digest.hex[:64]}'


@pytest.mark.parametrize(('text', 'with_host', 'parts'), [
    ('host/repo', True, ('host', 'repo', '', None)),
    ('host:5000/a/b-c/d__e:v1', True, ('host:5000', 'a/b-c/d__e', 'v1', None)),
    (f'[::1]:5000/repo@{DIGEST}', True, ('[::1]:5000', 'repo', '', DIGEST)),
    (f'h.example/repo:Tag_1.0@{DIGEST}', True, ('h.example', 'repo', 'Tag_1.0', DIGEST)),
    ('debian:12', False, ('', 'debian', '12', None)),
    ('library/debian', False, ('', 'library/debian', '', None)),
    ('localhost/app:v1', False, ('localhost', 'app', 'v1', None)),
    ('quay.io/org/app', False, ('quay.io', 'org/app', '', None)),
    ('host:80/app', False, ('host:80', 'app', '', None)),
])
def test_references_are_taken_apart_and_put_together(text: str, with_host: bool, parts: tuple[Any, ...]) -> None:
    reference = Reference.parse(text, with_host)
    assert (reference.host, reference.repository, reference.tag, reference.digest) == parts
    assert str(reference) == text


@pytest.mark.parametrize('text', ['host', 'host/', '/repo', 'host/UPPER', 'host/a..b', 'host/../x', 'host/a//b',
                                  'host/repo:', 'host/repo:-x', f'host/repo:{"x" * 129}', 'host/repo@sha256:x',
                                  'ho st/repo', 'host/-a', 'host:port/repo', f'host/{"a" * 256}', 'host/a/../../b'])
def test_malformed_references_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError):
        Reference.parse(text, with_host=True)


@pytest.mark.parametrize(('text', 'requested', 'fits'), [
    ('linux/amd64', 'linux/amd64', True), ('linux/arm64', 'linux/arm64/v8', True),
    ('linux/arm64/v8', 'linux/arm64', True),
    ('linux/arm/v7', 'linux/arm', True), ('linux/arm', 'linux/arm/v6', False), ('linux/amd64', 'windows/amd64', False),
    ('linux/amd64', 'linux/arm64', False), ('linux/arm/v6', 'linux/arm/v7', False)])
def test_platforms(text: str, requested: str, fits: bool) -> None:
    assert Platform.parse(text).satisfies(Platform.parse(requested)) is fits
    assert str(Platform.parse(text)) == text


@pytest.mark.parametrize('text', ['', 'arm64', 'linux/', '/amd64', 'linux/arm/v7/x'])
def test_malformed_platforms_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError, match='os/architecture'):
        Platform.parse(text)


def test_other_names_of_architectures() -> None:
    assert Platform.parse('Linux/x86_64') == Platform('linux', 'amd64')
    assert Platform.parse('linux/aarch64') == Platform('linux', 'arm64')


def test_a_platform_that_is_no_text_is_refused_by_name_where_it_has_one() -> None:
    with pytest.raises(InvalidImage, match='^the document: a platform has a field'):
        Platform.from_json({'os': 5})
    with pytest.raises(InvalidImage, match='^entry 3: a platform has a field'):
        Platform.from_json({'os': 5}, 'entry 3')


@pytest.mark.parametrize('document', [
    None, [], 'x', {}, {**MANIFEST, 'schemaVersion': 1}, {**MANIFEST, 'schemaVersion': '2'},
    {**MANIFEST, 'layers': {}}, {**MANIFEST, 'schemaVersion': 2.0},
    {**MANIFEST, 'manifests': []}, {**MANIFEST, 'mediaType': media_types.OCI_INDEX}, {**MANIFEST, 'mediaType': 5},
    {**MANIFEST, 'config': None}, {**MANIFEST, 'config': {**POINTER, 'size': -1}},
    {**MANIFEST, 'config': {**POINTER, 'size': True}}, {**MANIFEST, 'config': {**POINTER, 'digest': 'x'}},
    {**MANIFEST, 'config': {**POINTER, 'urls': 'x'}}, {**MANIFEST, 'layers': [None]}, {**MANIFEST, 'layers': [{}]},
    {**MANIFEST, 'mediaType': 'text/plain'}])
def test_malformed_manifests_are_refused(document: object) -> None:
    with pytest.raises(InvalidImage):
        Manifest.parse(raw(document))


@pytest.mark.parametrize('text', [b'', b'{', b'\xff', b'[' * 200_000, b' ' * (4 << 20) + b'{}'])
def test_invalid_and_large_json_is_refused(text: bytes) -> None:
    for parse in (Manifest.parse, Index.parse, ImageConfig.parse, parse_manifest_or_index):
        with pytest.raises(InvalidImage):
            parse(text)


def test_manifest_and_header_must_agree_but_for_parameters() -> None:
    assert Manifest.parse(raw(MANIFEST), f'{media_types.OCI_MANIFEST}; charset=utf-8').layers == ()
    assert Manifest.parse(raw(MANIFEST), 'application/json').media_type == media_types.OCI_MANIFEST
    with pytest.raises(InvalidImage, match='served as'):
        Manifest.parse(raw(MANIFEST), media_types.DOCKER_MANIFEST)
    with pytest.raises(InvalidImage):
        Manifest.parse(raw(MANIFEST), media_types.OCI_INDEX)


def test_manifest_or_index_by_its_own_fields() -> None:
    assert isinstance(parse_manifest_or_index(raw(MANIFEST)), Manifest)
    assert isinstance(parse_manifest_or_index(raw(INDEX)), Index)
    untold = {key: value for key, value in INDEX.items() if key != 'mediaType'}
    assert isinstance(parse_manifest_or_index(raw(untold)), Index)


def test_index_selects_and_lists_what_there_is() -> None:
    entries = [{**POINTER, 'mediaType': media_types.OCI_MANIFEST, 'digest': Digest.of(name.encode()),
                'platform': Platform.parse(name).to_json()}
               for name in ('linux/amd64', 'linux/arm/v6', 'linux/arm/v7', 'unknown/unknown')]
    index = Index.parse(raw({**INDEX, 'manifests': [*entries, POINTER]}))
    assert index.select(Platform.parse('linux/arm/v6')).digest == Digest.of(b'linux/arm/v6')
    assert index.select(Platform.parse('linux/arm/v7')).digest == Digest.of(b'linux/arm/v7')
    with pytest.raises(ImageNotFound, match='linux/s390x; available: linux/amd64, linux/arm/v6, linux/arm/v7$'):
        index.select(Platform.parse('linux/s390x'))


def test_a_built_manifest_is_the_same_each_time_and_parses_back() -> None:
    config = Descriptor.from_json(POINTER, 'x')
    layer = Descriptor(f'{media_types.OCI_LAYER}+gzip', Digest(DIGEST), 7, urls=('https://x',), annotations={'a': 'b'})
    first, second = Manifest.build(config, [layer]), Manifest.build(config, [layer])
    assert first == second and Manifest.parse(first.raw) == first
    assert first.descriptor.size == len(first.raw) and first.descriptor.digest == first.digest


CONFIG = {'architecture': 'arm64', 'os': 'linux', 'variant': 'v8', 'rootfs': {'type': 'layers', 'diff_ids': [DIGEST]},
          'history': [{'created_by': 'ü'}, None], 'odd': {'kept': 1.50}}


def test_config_keeps_its_bytes_unless_a_layer_changed() -> None:
    spaced = json.dumps(CONFIG, indent=3).encode()
    config = ImageConfig.parse(spaced)
    assert config.with_diff_ids([Digest(DIGEST)]).raw == spaced
    other = Digest.of(b'other')
    changed = config.with_diff_ids([other])
    assert changed.diff_ids == (other,) and changed.digest != config.digest
    assert {**changed.document, 'rootfs': None} == {**config.document, 'rootfs': None}
    assert config.platform == Platform('linux', 'arm64', 'v8') and config.history == [{'created_by': 'ü'}]
    with pytest.raises(InvalidImage):
        config.with_diff_ids([])


@pytest.mark.parametrize('document', [{}, {'rootfs': None}, {'rootfs': []}, {'rootfs': {'diff_ids': ['x']}},
                                      {'rootfs': {'diff_ids': 'x'}}, []])
def test_malformed_configs_are_refused(document: object) -> None:
    with pytest.raises(InvalidImage):
        ImageConfig.parse(raw(document))


def test_an_image_of_no_layers() -> None:
    for rootfs in ({'type': 'layers', 'diff_ids': None}, {'type': 'layers'}, {}):  # Docker, older ones, BuildKit
        assert ImageConfig.parse(raw({'rootfs': rootfs})).diff_ids == ()
    assert Manifest.parse(raw({**MANIFEST, 'layers': None})).layers == ()
    assert Manifest.parse(raw({name: each for name, each in MANIFEST.items() if name != 'layers'})).layers == ()
    assert Index.parse(raw({**INDEX, 'manifests': None})).manifests == ()


def test_media_types_of_layers() -> None:
    assert media_types.layer_compression(f'{media_types.DOCKER_LAYER}.gzip').value == 'gzip'
    assert media_types.layer_media_type(media_types.DOCKER_MANIFEST, media_types.Compression.GZIP).endswith('tar.gzip')
    with pytest.raises(InvalidImage, match='text/plain'):
        media_types.layer_compression('text/plain')
    assert media_types.layer_compression('application/octet-stream') is None


def test_a_number_of_too_many_digits_is_named_without_advice_for_programmers() -> None:
    with pytest.raises(InvalidImage, match='the index is not valid JSON: a number has too many digits$'):
        Index.parse(b'{"schemaVersion": ' + b'2' * 5000 + b'}')
