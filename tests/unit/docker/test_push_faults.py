"""dockerpush:// when things go wrong: one line that says what, no hang, no tag and no file left behind."""
import http.client
import resource
import signal
import threading
import time
from pathlib import Path

import pytest

from occystrap_core import (
    Cancelled, InvalidImage, OccystrapError, OutputError, ServiceError, ServiceUnavailable, Settings,
)
from occystrap_core.files import DigestMismatch
from occystrap_core.oci import Digest, Reference
from occystrap_docker.daemon.daemon import Daemon
from occystrap_docker.daemon.image_list import ImageFacts
from occystrap_docker.push.input import PushedImage
from tests.unit.docker.fake_daemon import FakeDaemon
from tests.unit.docker.layouts import legacy
from tests.unit.docker.runs import SETTINGS, pushed, read


@pytest.mark.parametrize(('fault', 'kind', 'words'), [
    ('500 no space left', ServiceUnavailable, 'refused pushing sample:v1: no space left'),
    ('403 not you', OccystrapError, 'refused pushing sample:v1: not you'),
    ('close', ServiceUnavailable, 'failed while pushing sample:v1'),
    ('hang', ServiceUnavailable, 'stopped while pushing sample:v1: .*--timeout'),
    ('in stall', ServiceUnavailable, 'stopped while pushing sample:v1: .*--timeout'),
    ('in repeat', ServiceUnavailable, 'stopped while pushing sample:v1: .*--timeout'),
    ('in cut', ServiceUnavailable, 'failed while pushing sample:v1'),
    ('in complain', ServiceError, 'could not push sample:v1: no basic auth credentials$'),
    ('in forged', ServiceError, 'could not push sample:v1: the bytes have digest sha256:'),
    ('in no manifest', InvalidImage, 'did not push a manifest of sample:v1'),
    ('in no layers', ServiceError, 'failed while|could not push|without'),
    ('in another config', InvalidImage, 'without the config or the manifest of sha256:'),
    ('in another layer', InvalidImage, 'pushed sample:v1 without its layer sha256:'),
    ('in swapped', DigestMismatch, 'lists other layers than'),
])
def test_faults(fault: str, kind: type[OccystrapError], words: str, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    daemon.faults['push'], daemon.hang = fault, 30
    started = time.monotonic()
    with pytest.raises(kind, match=words) as error:
        read(pushed(daemon, tmp_path))
    assert '\n' not in str(error.value) and time.monotonic() - started < 10
    assert set(daemon.tags) == {'sample:v1'} and not list(tmp_path.iterdir())


def test_a_daemon_that_cannot_come_here_says_what_to_do(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    daemon.faults['push'] = 'in unreachable'
    with pytest.raises(ServiceUnavailable, match='refused; it did not reach the registry .*rootless') as error:
        read(pushed(daemon, tmp_path))
    assert 'docker://' in str(error.value) and 'fallback=true' in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('address', ['ssh://me@build.example', 'tcp://build.example:2376', 'tcp://192.0.2.7:2375'])
def test_a_daemon_elsewhere_is_not_asked_to_push(address: str, tmp_path: Path) -> None:
    facts = ImageFacts(Digest.of(b'x'), (), ('sample:v1',), 0)
    image = PushedImage(Reference('sample', 'v1'), facts, Daemon({'host': address}, SETTINGS), SETTINGS, fallback=False)
    with pytest.raises(ServiceUnavailable, match=f'{address} runs on another machine, .*docker://.*fallback=true'):
        next(image.arrivals())


@pytest.mark.parametrize('fault', ['in unreachable', '403 not you', 'close'])
def test_fallback_takes_the_export(fault: str, daemon: FakeDaemon, tmp_path: Path) -> None:
    expected = daemon.add(legacy(), 'sample:v1')
    daemon.faults['push'] = fault
    image = pushed(daemon, tmp_path, fallback=True)
    assert read(image) == {Digest.of(tar): len(tar) for tar in expected.tars}
    assert image.config.raw == expected.config and image.manifest is None
    note, = image.notes
    assert note.startswith('sample:v1 is exported instead of pushed: the daemon at ') and '\n' not in note
    assert set(daemon.tags) == {'sample:v1'} and not list(tmp_path.iterdir())


def test_fallback_is_no_help_once_layers_were_handed_on(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    daemon.faults['push'] = 'in complain'
    with pytest.raises(ServiceError, match='no basic auth credentials'):
        read(pushed(daemon, tmp_path, fallback=True))


def test_an_image_without_a_tag_is_not_touched(daemon: FakeDaemon, tmp_path: Path) -> None:
    image = daemon.add(legacy(), 'sample:v1')
    daemon.tags.clear()
    with pytest.raises(ServiceUnavailable, match='has no tag, .*would remove it'):
        read(pushed(daemon, tmp_path, str(image.id)))
    assert len(read(pushed(daemon, tmp_path, str(image.id), fallback=True))) == 3
    assert image.id in daemon.images and not daemon.tags


def test_a_tag_that_is_refused(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    daemon.faults['tag'] = '500 read-only'
    with pytest.raises(ServiceUnavailable, match='refused tagging 127.0.0.1:.*: read-only'):
        read(pushed(daemon, tmp_path))
    assert not list(tmp_path.iterdir())


def test_no_room_for_it(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    with pytest.raises(OutputError, match='--temp-dir'):
        read(pushed(daemon, tmp_path / 'missing'))


def test_a_full_disk_says_what_to_do(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(OutputError, match=f'{tmp_path} has no room for the blobs of .*--temp-dir'):
            read(pushed(daemon, tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert set(daemon.tags) == {'sample:v1'} and not list(tmp_path.iterdir())


def test_a_reader_that_fails_leaves_nothing(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    with pytest.raises(OSError), pushed(daemon, tmp_path) as image:
        for _ in image.arrivals():
            raise OSError('the destination is full')
    assert set(daemon.tags) == {'sample:v1'} and not list(tmp_path.iterdir())


def test_a_run_that_ends_without_closing_the_image_leaves_nothing(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    settings = Settings()
    arrivals = pushed(daemon, tmp_path, settings=settings).arrivals()
    next(arrivals)
    settings.shared.close()
    assert set(daemon.tags) == {'sample:v1'} and not list(tmp_path.iterdir())


def test_a_cancelled_run_stops_while_the_daemon_is_silent(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    daemon.faults['push'], daemon.hang = 'in stall', 30
    settings = Settings()
    threading.Timer(0.5, settings.cancellation.cancel).start()
    started = time.monotonic()
    with pytest.raises(Cancelled), pushed(daemon, tmp_path, settings=settings) as image:
        for layer in image.arrivals():
            assert layer.diff_id
    assert time.monotonic() - started < 1.8
    assert set(daemon.tags) == {'sample:v1'} and not list(tmp_path.iterdir())


def test_others_on_this_machine_get_nothing_and_bring_nothing(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    with pushed(daemon, tmp_path) as image:
        for layer in image.arrivals():
            assert layer.descriptor
            host = next(tag for tag in daemon.tags if tag != 'sample:v1').partition('/')[0]
            assert ask(host, 'GET', '/v2/')[0] == 200 and ask(host, 'GET', '/v2/_catalog')[0] == 404
            blob = b'of somebody else'
            uploads = f'/v2/occystrap/mine/blobs/uploads/?digest={Digest.of(blob)}'
            assert ask(host, 'POST', uploads, blob)[0] == 404
            assert ask(host, 'GET', f'/v2/occystrap/mine/blobs/{layer.descriptor.digest}')[0] == 404
            mount = f'/v2/occystrap/mine/blobs/uploads/?mount={layer.descriptor.digest}&from=occystrap/other'
            assert ask(host, 'POST', mount)[0] == 404


def ask(host: str, method: str, path: str, body: bytes = b'') -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request(method, path, body)
    answer = connection.getresponse()
    content = answer.status, answer.read()
    connection.close()
    return content
