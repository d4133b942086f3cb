"""Documents that two programs read differently: a name twice, or twice but for its case, as Go folds it."""
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core.errors import InvalidImage
from occystrap_core.oci import Digest, Manifest
from occystrap_core.oci.documents import parse_json
from occystrap_core.oci.field_names import CONFIG_FIELDS, STRICT
from tests.hostile.documents import BLOB, Edit, Written, instead, put_in
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.unit.registry.scripted import Scripted

STORED = ('layout', 'oci-tar', 'registry')
SAVED = ('tar', 'dir')
LAYERS = ', "Layers": []'
AMBIGUOUS: list[tuple[str, str, Edit]] = [
    (scheme, name, edit) for schemes, name, edit in [
        (STORED, 'manifest', put_in('"schemaVersion": 2', LAYERS)),
        (STORED, 'manifest', put_in('"schemaVersion": 2', ', "layers": []')),
        (STORED, 'manifest', put_in('"config": {', '"Digest": 1, ')),
        (STORED, 'manifest', put_in('"annotations": {', '"n": "3", ')),
        (STORED, 'manifest', put_in('"schemaVersion": 2', ', "Unheard": 1, "unHeard": 2')),
        (STORED, 'inner', put_in('"schemaVersion": 2', ', "Manifests": []')),
        (STORED, 'inner', put_in('"platform": {', '"o\u017f": "windows", ')),
        (STORED[:2], 'index', put_in('"schemaVersion": 2', ', "manifests": []')),
        (STORED[:2], 'index', put_in('"manifests": [{', '"dige\\u017ft": 1, ')),
        (STORED[:2], 'layout', put_in('"imageLayoutVersion": "1.0.0"', ', "ImageLayoutVersion": "2"')),
        ((*STORED, *SAVED), 'config', put_in('"os": "linux"', ', "RootFS": {"diff_ids": []}')),
        ((*STORED, *SAVED), 'config', put_in('"os": "linux"', ', "rootfs": {"diff_ids": []}')),
        ((*STORED, *SAVED), 'config', put_in('"rootfs": {', '"DIFF_IDS": [], ')),
        ((*STORED, *SAVED), 'config', put_in('"config": {', '"cmd": ["/b"], ')),
        ((*STORED, *SAVED), 'config', put_in('"Labels": {', '"l": "z", ')),
        ((*STORED, *SAVED), 'config', put_in('"history": [{', '"Created_By": "other", ')),
        (SAVED, 'archive', put_in('[{', '"layers": [], ')),
        (SAVED, 'archive', put_in('[{', '"Config": "x", ')),
        (SAVED, 'archive', put_in('[{', '"repotags": [], ')),
        (('tar',), 'old', put_in('{"app": {', '"v1": "y", ')),
    ] for scheme in schemes]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """A registry to put images into, which needs no credentials."""
    monkeypatch.setenv('DOCKER_CONFIG', str(tmp_path))
    with Scripted() as started:
        yield started


@pytest.mark.parametrize('number', range(len(AMBIGUOUS)))
def test_ambiguous_documents_are_refused_under_their_own_rule(number: int, tmp_path: Path, server: Scripted) -> None:
    scheme, name, edit = AMBIGUOUS[number]
    source = Written({name: edit}).put(scheme, tmp_path / 'source', server)
    is_refused(run_here('-q', 'process', source, f'dir://{tmp_path}/out'), 'is ambiguous', 'keep only one')
    assert not (tmp_path / 'out').exists()
    checked = run_here('check', source, '-O', 'json')
    findings = json.loads(checked.out)['images'][0]['findings']
    assert checked.code == 1 and [each['rule'] for each in findings] == ['document-ambiguous'], checked


CONFIG = Written().config


@pytest.mark.parametrize('data', [b'{}', CONFIG[:-1], b'x' * len(CONFIG), CONFIG])
def test_data_in_a_descriptor_are_the_blob(data: bytes, tmp_path: Path, server: Scripted) -> None:
    edit = put_in('"config": {', f'"data": "{b64encode(data).decode()}", ')
    source = Written({'manifest': edit}).put('layout', tmp_path / 'source', server)
    result = run_here('-q', 'process', source, f'layout://{tmp_path}/out')
    if data == CONFIG:
        result.assert_code(0)
    else:
        is_refused(result, f'{Digest.of(CONFIG)} have another digest, and programs may use either')


@pytest.mark.parametrize('field', ['"annotations": {"a": 1}', '"annotations": []', '"artifactType": 5', '"subject": 5'])
def test_fields_that_go_refuses_are_found(field: str, tmp_path: Path, server: Scripted) -> None:
    edit = instead('"annotations": {"n": "1", "N": "2"}', field)
    source = Written({'manifest': edit}).put('layout', tmp_path / 'source', server)
    assert 'manifest-fields' in run_here('check', source).assert_code(1).out


def test_a_platform_that_go_refuses_is_found(tmp_path: Path, server: Scripted) -> None:
    edit = put_in('"os": "linux"', ', "variant": ["v8"]')
    source = Written({'config': edit}).put('layout', tmp_path / 'source', server)
    out = run_here('check', source).assert_code(1).out
    assert 'config-invalid' in out and 'the config: a platform has a field that is not a string' in out


@pytest.mark.parametrize('data', ['"e30"', '5', '0', 'true', 'false', '[]', '["e30="]'])
def test_data_that_are_not_base64(data: str) -> None:
    with pytest.raises(InvalidImage, match='are not base64'):
        Manifest.parse(Written({'manifest': put_in('"config": {', f'"data": {data}, ')}).manifest)


@pytest.mark.parametrize('scheme', [*STORED, *SAVED])
def test_names_of_peoples_own_may_differ_in_case(scheme: str, tmp_path: Path, server: Scripted) -> None:
    source = Written().put(scheme, tmp_path / 'source', server)
    run_here('-q', 'process', source, f'dir://{tmp_path}/out').assert_code(0)
    assert json.loads(Written().config)['config']['Labels'] == {'l': 'x', 'L': 'y'}


ELSEWHERE: list[tuple[str, str, Edit]] = [
    (scheme, name, edit) for schemes, name, edit in [
        (STORED, 'manifest', instead('"layers"', '"Layers"')),
        (STORED, 'manifest', instead('"schemaVersion"', '"SCHEMAVERSION"')),
        (STORED, 'manifest', instead('"config"', '"Config"')),
        (STORED, 'manifest', instead('"size": %d}]' % len(BLOB), '"Size": %d}]' % len(BLOB))),
        (STORED, 'inner', instead('"manifests"', '"Manifests"')),
        (STORED, 'inner', instead('"platform": {"architecture"', '"Platform": {"Architecture"')),
        (STORED[:2], 'index', instead('"manifests"', '"manife\u017ft\u017f"')),
        (STORED[:2], 'layout', instead('"imageLayoutVersion"', '"ImageLayoutVersion"')),
        ((*STORED, *SAVED), 'config', instead('"rootfs"', '"rootfS"')),
        ((*STORED, *SAVED), 'config', instead('"diff_ids"', '"Diff_IDs"')),
        ((*STORED, *SAVED), 'config', instead('"os"', '"OS"')),
        (SAVED, 'archive', instead('"Config"', '"config"')),
        (SAVED, 'archive', instead('"RepoTags"', '"repoTags"')),
        (SAVED, 'archive', instead('"Layers"', '"layers"')),
    ] for scheme in schemes]


@pytest.mark.parametrize('number', range(len(ELSEWHERE)))
def test_a_name_in_another_case_alone_is_read_as_go_reads_it(number: int, tmp_path: Path, server: Scripted) -> None:
    scheme, name, edit = ELSEWHERE[number]
    written = Written({name: edit})
    source = written.put(scheme, tmp_path / 'source', server)
    run_here('-q', 'process', '--verify=full', source, f'layout://{tmp_path}/out').assert_code(0)
    there = {path.name: path.read_bytes() for path in (tmp_path / 'out/blobs/sha256').iterdir()}
    assert there[Digest.of(written.config).hex] == written.config, 'its bytes are as they were'
    if scheme in STORED:
        assert there[Digest.of(written.manifest).hex] == written.manifest
    assert run_here('check', source).code == 0
    assert json.loads(run_here('info', source, '-O', 'json').out)['images'][0]['platform'] == 'linux/amd64'


def test_a_filter_writes_the_names_as_they_should_be(tmp_path: Path, server: Scripted) -> None:
    source = Written({'config': instead('"rootfs"', '"rootfS"')}).put('layout', tmp_path / 'source', server)
    run_here('-q', 'process', source, f'dir://{tmp_path}/out', '-f', 'normalize-timestamps:ts=9').assert_code(0)
    entry, = json.loads((tmp_path / 'out/manifest.json').read_bytes())
    assert {'rootfs', 'config'} < set(json.loads((tmp_path / 'out' / entry['Config']).read_bytes()))


@pytest.mark.parametrize('text', [
    '{"a": 1, "A": 2}', '{"ß": 1, "ẞ": 2}', '{"ſ": 1, "S": 2}',
    '{"\u212a": 1, "k": 2}', '{"x": [{"y": {"K": 1, "\u212a": 2}}]}',
    '{"\\ud800": 1, "\\udfff": 2}', '{"labels": {"\\ud800": 1, "\\ud801": 2}}', '{"labels": {"a": 1, "\\u0061": 2}}',
    '{"labels": [{"a": 1, "A": 2}]}', '{"x": {"labels": {"a": {"b": 1, "B": 2}}}}'])
def test_names_that_are_equal_in_go(text: str) -> None:
    with pytest.raises(InvalidImage, match='it is ambiguous') as caught:
        parse_json(text.encode(), 'it', names=CONFIG_FIELDS)
    assert caught.value.rule == 'document-ambiguous' and str(caught.value).isascii()


@pytest.mark.parametrize('text', [
    '{"ß": 1, "ss": 2}', '{"İ": 1, "i": 2}', '{"Labels": {"a": 1, "A": 2, "ſ": 3, "s": 4}}',
    '{"annotations": {"rootfs": 1, "RootFS": 2}}', '{"volumes": {"/A": {}, "/a": {}}}'])
def test_names_that_go_treats_as_different(text: str) -> None:
    assert [len(each) if isinstance(each, dict) else each for each in parse_json(
        text.encode(), 'it', names=CONFIG_FIELDS).values()]


@pytest.mark.parametrize(('raw', 'why'), [
    (b'{"a": NaN}', 'NaN'), (b'{"a": -Infinity}', '-Infinity'), (b'{"a": 1e999}', 'too large a number'),
    (b'{"a": ' + b'9' * 5000 + b'}', 'digits'), (b'\xef\xbb\xbf{}', 'BOM'), (b'{} {}', 'Extra data'),
    (b'{"a": "\x01"}', 'control character'), (b'{a: 1}', 'property name'),
    (b'', 'Expecting'),
    (b'[' * 129 + b']' * 129, 'deep'), (b'{"a":' * 700 + b'1' + b'}' * 700, 'deep'), (b'[' * 10**6, 'too deep'),
    ('{}'.encode('utf-16'), 'Expecting')])
def test_invalid_json(raw: bytes, why: str) -> None:
    with pytest.raises(InvalidImage, match='is not valid JSON') as caught:
        parse_json(raw, 'it')
    assert why in str(caught.value)


def test_bytes_that_are_no_utf_8_are_read_as_go_reads_them() -> None:
    assert parse_json(b'{"a": "caf\xe9"}', 'it', names=CONFIG_FIELDS) == {'a': 'caf\ufffd'}
    with pytest.raises(InvalidImage, match='utf-8'):
        parse_json(b'{"a": "caf\xe9"}', 'it', names=STRICT)
    with pytest.raises(InvalidImage, match='ambiguous'):
        parse_json(b'{"caf\xe9": 1, "caf\xea": 1}', 'it', names=CONFIG_FIELDS)


def test_a_hundred_levels_are_read() -> None:
    assert parse_json(b'[' * 128 + b']' * 128, 'it')


def test_receipts_and_catalogs(tmp_path: Path, server: Scripted) -> None:
    source = Written().put('layout', tmp_path / 'source', server)
    receipt, kept = tmp_path / 'receipt', tmp_path / 'several'
    run_here('-q', 'process', source, f'tar://{tmp_path}/a.tar', '--receipt', receipt).assert_code(0)
    receipt.write_text(receipt.read_text().replace('"path":', '"Path": "/elsewhere", "path":', 1))
    is_refused(run_here('-q', 'verify', receipt), "'Path' and 'path' are the same name", code=1)
    run_here('-q', 'process', source, f'dir://{kept}?unique_names=true').assert_code(0)
    catalog = (kept / 'catalog.json').read_text()
    (kept / 'catalog.json').write_text(catalog.replace('": "manifest', '": "manifest.json", "latest": "manifest'))
    is_refused(run_here('-q', 'info', f'dir://{kept}'), "'latest' appears twice", 'catalog.json')
