"""Names in images, registries and archives with escapes, line ends and the like: none of it reaches a terminal."""
import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from occystrap_core.oci import Digest
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandLine, CommandResult
from tests.unit.registry.scripted import Answer, Scripted

EVIL = '\x1b]0;PWNED\x07\x1b[31mRED\u202eevil\x9b\u2028\nSummary: 1/1 verified'


def layer(*names: str) -> bytes:
    """Return a tar with a file, a symlink and a whiteout of each name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            for kind, path in ((tarfile.REGTYPE, f'etc/{name}'), (tarfile.SYMTYPE, f'{name}-l'),
                               (tarfile.REGTYPE, f'etc/.wh.{name}2')):
                header = tarfile.TarInfo(path)
                header.type, header.linkname = kind, name if kind == tarfile.SYMTYPE else ''
                tar.addfile(header)
    return out.getvalue()


def config(tar: bytes, **more: Any) -> bytes:
    """Return a config in which everything that is text is evil."""
    return json.dumps({'architecture': 'amd64', 'os': 'linux', 'author': EVIL, 'os.version': EVIL,
                       'config': {'Cmd': [EVIL], 'Labels': {EVIL: EVIL}, 'Env': [f'A={EVIL}'], 'User': EVIL},
                       'rootfs': {'type': 'layers', 'diff_ids': [Digest.of(tar)]},
                       'history': [{'created_by': EVIL, 'comment': EVIL}], **more}).encode()


def texts(document: Any) -> Iterator[str]:
    """Yield all texts of a JSON document, keys too."""
    if isinstance(document, dict):
        document = [*document, *document.values()]
    for each in document if isinstance(document, list) else ():
        yield from [each] if isinstance(each, str) else texts(each)


def assert_harmless(result: CommandResult) -> None:
    """Fail where anything but printable lines came out, or a line that a name made up."""
    for text in (result.out, result.err):
        assert re.sub(r'[\n]', '', text).isprintable(), ascii(text)
        assert not re.search('^Summary: 1/1 verified', text, re.MULTILINE)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tar = layer(EVIL)
    write_docker_archive(tmp_path / 'i.tar', config(tar), [tar], 't/x:v1')
    write_docker_archive(tmp_path / 'platform.tar', config(tar, architecture=EVIL, os=EVIL), [tar], 't/x:v1')
    write_docker_archive(tmp_path / 'tag.tar', config(tar), [tar], EVIL)
    with tarfile.open('missing.tar', 'w') as archive:
        manifest = json.dumps([{'Config': EVIL, 'RepoTags': ['a:b'], 'Layers': [EVIL]}]).encode()
        header = tarfile.TarInfo('manifest.json')
        header.size = len(manifest)
        archive.addfile(header, io.BytesIO(manifest))
    return tmp_path


@pytest.mark.parametrize('words', [
    'info tar://i.tar', 'check tar://i.tar', 'search tar://i.tar *', 'search tar://i.tar * --script-friendly',
    'process tar://i.tar tar://o.tar -f search:pattern=*', 'process tar://i.tar tar://o.tar -f inspect:file=-',
    'process tar://i.tar dir://d?expand=true', 'process tar://i.tar oci://b', 'info tar://platform.tar',
    'check tar://platform.tar', 'process tar://platform.tar tar://o.tar --platform linux/amd64', 'info tar://tag.tar',
    'check tar://tag.tar', 'process tar://tag.tar tar://o.tar', 'info tar://missing.tar', 'check tar://missing.tar',
    'process tar://missing.tar tar://o.tar', 'info tar://EVIL', 'search tar://i.tar EVIL[', 'verify EVIL', 'EVIL'])
def test_texts_from_an_archive(words: str, here: Path) -> None:
    result = run_here(*[word.replace('EVIL', EVIL) for word in words.split()])
    assert_harmless(result)
    assert r'\x1b' in result.out + result.err or result.code == 0


@pytest.mark.parametrize('words', ['info tar://i.tar', 'info tar://platform.tar', 'search tar://i.tar *'])
def test_json_says_it_exactly(words: str, here: Path) -> None:
    result = run_here(*words.split(), '-O', 'json')
    assert result.out.isascii() and any(EVIL in text for text in texts(result.json()))
    assert_harmless(result)


def test_a_file_that_a_filter_writes_for_people(here: Path) -> None:
    run_here('process', 'tar://i.tar', 'tar://o.tar', '-f', 'search:pattern=*,file=found').assert_success()
    assert (here / 'found').read_text().replace('\n', '').isprintable()
    assert len((here / 'found').read_text().splitlines()) == 3 + 1


@pytest.mark.parametrize(('status', 'body', 'headers'), [
    (400, json.dumps({'errors': [{'message': EVIL}]}).encode(), {}),
    (400, EVIL.encode(), {}), (404, EVIL.encode(), {}),
    (302, b'', {'Location': 'http://x\x1b[31mRED/'}), (401, b'', {'WWW-Authenticate': 'Bearer realm="x\x1b[31m"'}),
    (200, b'{}', {'Content-Type': '\x1b[31mRED'}), (200, b'{}', {'Docker-Content-Digest': '\x1b[31mRED'}),
    (200, json.dumps({'mediaType': EVIL, 'schemaVersion': 2}).encode(), {}),
    (200, json.dumps({'schemaVersion': 2, 'config': {'mediaType': EVIL, 'digest': EVIL, 'size': 3},
                      'layers': []}).encode(), {}),
    (200, json.dumps({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.index.v1+json', 'manifests': [
        {'mediaType': 'application/vnd.oci.image.manifest.v1+json', 'digest': Digest.of(b''), 'size': 2,
         'platform': {'os': EVIL, 'architecture': EVIL}}]}).encode(), {}),
    (200, json.dumps({'schemaVersion': 2, 'artifactType': EVIL, 'annotations': {EVIL: EVIL},
                      'config': {'mediaType': EVIL, 'digest': Digest.of(b'{}'), 'size': 2},
                      'layers': [{'mediaType': EVIL, 'digest': Digest.of(b'x'), 'size': 1}]}).encode(), {})])
@pytest.mark.parametrize('command', ['info', 'check', 'process'])
def test_texts_from_a_registry(command: str, status: int, body: bytes, headers: dict[str, str], here: Path) -> None:
    with Scripted() as server:
        server.routes['GET /v2/a/manifests/v1'] = Answer(status, body, [*headers.items()])
        result = run_here(command, f'registry://{server.host}/a:v1', *(['tar://r.tar'] * (command == 'process')),
                          '--retries', '0')
    assert_harmless(result)
    assert result.code and 'occystrap: error: ' in result.err or command == 'check'


@pytest.mark.parametrize(('path', 'body', 'words'), [
    ('/v2/a/tags/list', {'name': 'a', 'tags': [EVIL, 'ok']}, 'tags registry://{}/a'),
    ('/v2/_catalog', {'repositories': [EVIL, 'ok']}, 'tags registry://{}'),
    ('/v2/_catalog', {'repositories': [EVIL, 'ok']}, 'process registry://{}/*:v* dir://x?unique_names=true')])
def test_names_listed_by_a_registry(path: str, body: object, words: str, here: Path) -> None:
    with Scripted() as server:
        server.routes[f'GET {path}'] = Answer(200, json.dumps(body).encode())
        server.routes[f'GET {path}?n=1000'] = Answer(200, json.dumps(body).encode())
        assert_harmless(run_here(*words.format(server.host).split(), '--retries', '0'))


def test_a_megabyte_of_error(here: Path) -> None:
    with Scripted() as server:
        server.routes['GET /v2/a/manifests/v1'] = Answer(200, b'{}', [('Content-Type', 'x/' + 'y' * 30_000)])
        result = run_here('info', f'registry://{server.host}/a:v1', '--retries', '0')
        assert len(result.err) < 5_000 and result.err.count('\n') < 5
    assert len(run_here('info', f'tar://{"n" * 100_000}').err) < 5_000


@pytest.mark.parametrize(('redirections', 'words', 'code'), [
    ('>&-', 'process tar://i.tar tar://o.tar', 0), ('2>&-', 'process tar://i.tar tar://o.tar', 0),
    ('>&- 2>&- <&-', 'process tar://i.tar tar://o.tar -O json', 0), ('>&-', 'search tar://i.tar *', 0),
    ('2>/dev/full', 'process tar://i.tar tar://o.tar', 0), ('>/dev/full', 'process tar://i.tar tar://o.tar', 0),
    ('>/dev/full', 'process tar://i.tar tar://o.tar -O json', 1), ('>/dev/full', 'search tar://i.tar *', 1),
    ('>/dev/full', 'info tar://i.tar', 1), ('>/dev/full', 'check tar://i.tar -O json', 1), ('>&-', '--version', 0),
    ('>/dev/full', '--version', 1), ('2>/dev/full', 'nothing', 2), ('| true', 'info tar://i.tar', 141)])
def test_closed_and_full_streams(redirections: str, words: str, code: int, here: Path, occystrap: CommandLine) -> None:
    before = (here / 'i.tar').read_bytes()
    command = f'set -f -o pipefail; {sys.executable} -m occystrap_core {words} {redirections}'
    environment = occystrap.environment()
    done = subprocess.run(['bash', '-c', command], cwd=here, env=environment, capture_output=True, text=True)
    assert done.returncode == code and 'Traceback' not in done.stderr
    if code == 1 and '2>' not in redirections:
        assert done.stderr.splitlines()[-1].startswith('occystrap: error: standard output: No space left on device')
    assert (here / 'i.tar').read_bytes() == before
    if 'o.tar' in words:
        with tarfile.open(here / 'o.tar') as archive:  # no message got into it
            assert 'manifest.json' in archive.getnames()


@pytest.mark.parametrize('redirection', ['>&-', '1<i.tar'])
@pytest.mark.parametrize('option', ['', '--no-verify', '--dry-run'])
def test_an_archive_for_a_closed_stdout(redirection: str, option: str, here: Path, occystrap: CommandLine) -> None:
    command = f'{sys.executable} -m occystrap_core process tar://i.tar tar://- {option} {redirection}'
    environment = occystrap.environment()
    done = subprocess.run(['bash', '-c', command], cwd=here, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and 'tar://-: stdout is closed' in done.stderr, done.stderr


def test_tracebacks(here: Path, occystrap: CommandLine) -> None:
    result = occystrap('process', 'tar://missing.tar', 'tar://o.tar', '--debug')
    assert_harmless(result)
    assert 'Traceback' in result.err and r'\x1b' in result.err


def test_other_output_is_escaped_too(here: Path, occystrap: CommandLine) -> None:
    (here / 'loud.py').write_text('import sys, warnings\nfrom occystrap_core.cli import main\n'
                                  'def run(arguments):\n'
                                  '    print("out \\x1b[31m"); print("err \\x9b", file=sys.stderr)\n'
                                  '    warnings.warn("warned \\x1b]0;x\\x07"); return 0\n'
                                  'main._run = run\nmain.main([])\n')
    done = subprocess.run([sys.executable, here / 'loud.py'], capture_output=True, env=occystrap.environment())
    assert done.stdout == b'out \\x1b[31m\n' and b'err \\x9b\n' in done.stderr and b'\x1b' not in done.stderr
    with open('/dev/full', 'wb', buffering=0) as full:
        done = subprocess.run([sys.executable, here / 'loud.py'], stderr=full, stdout=subprocess.PIPE,
                              env=occystrap.environment())
    assert done.returncode == 0 and done.stdout == b'out \\x1b[31m\n'
