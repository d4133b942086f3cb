"""`occystrap serve`: a registry by one command, from its first line to its end, and what it leaves."""
import base64
import json
import os
import shutil
import signal
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import bcrypt
import httpx
import pytest

from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.functional.images import skopeo
from tests.hostile.in_process import run_here
from tests.services.certificates import self_signed
from tests.services.command_line import CommandLine
from tests.services.served import Served, served
from tests.unit.registry.images import HTTP


@pytest.fixture
def archive(tmp_path: Path) -> str:
    """The sample image."""
    write_docker_archive(tmp_path / 'a.tar', sample_config(sample_layers()), sample_layers(), 'app:v1')
    return f'tar://{tmp_path}/a.tar'


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob('*') if path.is_file()]


def test_pushed_images_survive_a_restart(occystrap: CommandLine, archive: str, tmp_path: Path,
                                         program: Callable[..., str]) -> None:
    program('skopeo')
    storage = tmp_path / 'new/storage'
    with served(occystrap, '--storage', storage) as registry:
        assert registry.lines == [f'Serving {storage} at http://{registry.host}: push with docker push '
                                  f'{registry.host}/NAME:TAG, stop with Ctrl-C']
        place = f'registry://{registry.host}/team/app:v1'
        run_here('process', archive, place, '--verify=full').assert_success()
        assert registry.stop() == 0 and registry.hear().startswith('Stopping: ')
    layout = storage / 'repositories/team/app/_layout'
    run_here('process', f'layout://{layout}:v1', f'dir://{tmp_path}/out', '--verify=full').assert_success()
    assert len(json.loads(skopeo('inspect', f'oci:{layout}:v1'))['Layers']) == 3
    with served(occystrap, '--storage', storage) as registry:
        run_here('process', f'registry://{registry.host}/team/app:v1', f'dir://{tmp_path}/again').assert_success()


def test_the_default_storage_is_that_of_the_user(occystrap: CommandLine, tmp_path: Path) -> None:
    with served(occystrap) as registry:
        assert f'{tmp_path}/home/.local/share/occystrap/registry' in registry.lines[0]


def test_it_listens_on_this_machine_alone_unless_told(occystrap: CommandLine, tmp_path: Path) -> None:
    assert '127.0.0.1:5000' in run_here('serve', '--help').out
    process = occystrap.start('serve', '--storage', tmp_path / 's', '--listen', '0.0.0.0:0', stderr=-1)
    registry = Served(process)
    registry.hear()
    try:
        assert registry.hear() == ('occystrap: warning: other machines can push and delete without a login: add '
                                   '--htpasswd FILE')
    finally:
        process.kill()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_an_upload_under_way_may_end(number: int, occystrap: CommandLine, tmp_path: Path) -> None:
    data = os.urandom(100_000)
    digest = Digest.of(data)
    with served(occystrap, '--storage', tmp_path / 's') as registry:
        host, _, port = registry.host.partition(':')
        with socket.create_connection((host, int(port)), timeout=20) as upload:
            upload.sendall(f'POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: '
                           f'{len(data)}\r\n\r\n'.encode() + data[:50_000])
            while not files(tmp_path / 's/temporary'):
                time.sleep(0.01)
            registry.process.send_signal(number)
            assert registry.hear().startswith('Stopping: requests under way have 20 seconds')
            upload.sendall(data[50_000:])
            assert b' 201 ' in upload.recv(4096)
        assert registry.process.wait(20) == 0
    assert (tmp_path / 's/blobs/sha256' / digest.hex).read_bytes() == data


def test_a_mirror_is_served_as_it_lies(occystrap: CommandLine, archive: str, tmp_path: Path) -> None:
    run_here('process', archive, f'layout://{tmp_path}/mirror').assert_success()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'mirror').rglob('*')}
    with served(occystrap, '--storage', f'layout://{tmp_path}/mirror') as registry:
        assert 'read-only, at' in registry.lines[0] and 'docker pull' in registry.lines[0]
        place = f'registry://{registry.host}/app:v1'
        run_here('process', place, f'dir://{tmp_path}/out', '--verify=full').assert_success()
        refused = run_here('process', archive, place.replace('v1', 'v2'))
        assert refused.code == 1 and 'this registry is read-only' in refused.err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'mirror').rglob('*')} == before


def test_a_storage_is_served_read_only_beside_its_server(occystrap: CommandLine, archive: str, tmp_path: Path) -> None:
    with served(occystrap, '--storage', tmp_path / 's') as writing:
        run_here('process', archive, f'registry://{writing.host}/app:v1').assert_success()
        with served(occystrap, '--storage', tmp_path / 's', '--read-only') as reading:
            run_here('process', f'registry://{reading.host}/app:v1', f'dir://{tmp_path}/out').assert_success()
        taken = occystrap('serve', '--storage', tmp_path / 's', '--listen', '127.0.0.1:0', timeout=20)
        assert taken.code == 1 and 'is in use by another occystrap serve, proxy or gc: stop that first' in taken.err
        assert 'is in use' in occystrap('gc', tmp_path / 's').assert_code(1).err


def test_logins_and_https(occystrap: CommandLine, archive: str, tmp_path: Path, program: Callable[..., str],
                          monkeypatch: pytest.MonkeyPatch) -> None:
    program('skopeo')
    pair = self_signed(tmp_path)
    (tmp_path / 'htpasswd').write_text(f'ann:{bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()}\n')
    with served(occystrap, '--storage', tmp_path / 's', '--htpasswd', tmp_path / 'htpasswd', '--anonymous-pull',
                '--tls-cert', pair.certificate, '--tls-key', pair.key) as registry:
        assert f'at https://{registry.host}' in registry.lines[0]
        place = f'registry://{registry.host}/app:v1?insecure=true'
        refused = run_here('process', archive, place)
        assert refused.code == 1 and 'log in' in refused.err
        monkeypatch.setenv('OCCYSTRAP_USERNAME', 'ann')
        monkeypatch.setenv('OCCYSTRAP_PASSWORD', 'secret')
        run_here('process', archive, place).assert_success()
        monkeypatch.delenv('OCCYSTRAP_USERNAME')
        monkeypatch.delenv('OCCYSTRAP_PASSWORD')
        run_here('process', place, f'dir://{tmp_path}/out').assert_success()
        skopeo('copy', '-q', '--src-tls-verify=false', f'docker://{registry.host}/app:v1', f'oci:{tmp_path}/oci:v1')
        skopeo('copy', '-q', '--dest-tls-verify=false', '--dest-creds', 'ann:secret', f'oci:{tmp_path}/oci:v1',
               f'docker://{registry.host}/app:v2')
        with httpx.Client(verify=ssl.create_default_context(cafile=str(pair.certificate)), trust_env=False) as client:
            wrong = 'Basic ' + base64.b64encode(b'ann:wrong').decode()
            assert client.get(f'https://{registry.host}/v2/', headers={'Authorization': wrong}).status_code == 401


def test_garbage_is_collected_by_command(occystrap: CommandLine, archive: str, tmp_path: Path) -> None:
    with served(occystrap, '--storage', tmp_path / 's') as registry:
        run_here('process', archive, f'registry://{registry.host}/app:v1').assert_success()
        HTTP.post(f'http://{registry.host}/v2/app/blobs/uploads/', params={'digest': Digest.of(b'x' * 5000)},
                  content=b'x' * 5000).raise_for_status()
        registry.stop()
    assert run_here('gc', tmp_path / 's').assert_success().err == 'Removed 0 blobs, 0 B\n'
    assert run_here('gc', tmp_path / 's', '--older-than', '0').assert_success().err == 'Removed 1 blob, 4.9 KiB\n'
    layout = tmp_path / 's/repositories/app/_layout'
    run_here('process', f'layout://{layout}:v1', f'dir://{tmp_path}/out', '--verify=full').assert_success()
    index = json.loads((layout / 'index.json').read_bytes())['manifests']
    os.unlink(tmp_path / 's/repositories/app/_tags/v1')
    assert 'Removed 1 manifest and 5 blobs' in run_here(
        'gc', tmp_path / 's', '--untagged', '--older-than', '0').assert_success().err
    assert len(index) == 1 and json.loads((layout / 'index.json').read_bytes())['manifests'] == []


def test_health_metrics_and_access_log(occystrap: CommandLine, tmp_path: Path) -> None:
    (tmp_path / 'htpasswd').write_text(f'ann:{bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()}\n')
    with served(occystrap, '--storage', tmp_path / 's', '--htpasswd', tmp_path / 'htpasswd', '--access-log',
                tmp_path / 'log') as registry:
        place = f'http://{registry.host}'
        assert [HTTP.get(f'{place}/{name}').json() for name in ('healthz', 'readyz')] == [{'status': 'ok'}] * 2
        assert HTTP.get(f'{place}/v2/_catalog').status_code == 401
        pushed = HTTP.post(f'{place}/v2/app/blobs/uploads/', params={'digest': Digest.of(b'x')}, content=b'x',
                           auth=('ann', 'secret'), headers={'User-Agent': 'agent"\n'.strip()})
        assert pushed.status_code == 201
        shutil.rmtree(tmp_path / 's/repositories')
        answer = HTTP.get(f'{place}/readyz')
        assert answer.status_code == 503 and 'No such file' in answer.json()['status']
        assert HTTP.get(f'{place}/healthz').status_code == 200
    text = (tmp_path / 'log').read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line['method'], line['path'], line['status'], line['user']) for line in lines[:4]] == [
        ('GET', '/healthz', 200, ''), ('GET', '/readyz', 200, ''), ('GET', '/v2/_catalog', 401, ''),
        ('POST', '/v2/app/blobs/uploads/', 201, 'ann')]
    assert lines[3]['agent'] == 'agent"' and lines[3]['client'] == '127.0.0.1' and lines[0]['sent'] == 15
    assert 'secret' not in text and base64.b64encode(b'ann:secret').decode() not in text


def test_a_log_that_cannot_be_written_stops_nothing(occystrap: CommandLine, tmp_path: Path) -> None:
    with served(occystrap, '--storage', tmp_path / 's', '--access-log', '/dev/full') as registry:
        for _ in range(2):
            assert HTTP.get(f'http://{registry.host}/v2/').status_code == 200
        assert registry.hear() == ('occystrap: warning: cannot write to /dev/full: No space left on device: lines are '
                                   'missing')
        registry.stop()
        assert registry.hear().startswith('Stopping'), 'said once'
