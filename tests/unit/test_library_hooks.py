"""What we override in a library's class is called by the library that is installed.

A hook that is called no more takes what it does away without a word. Every override of ours is found, and has to be
seen called, or to be excused below.
"""
import importlib
import inspect
import io
import pkgutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import shell_complete

from occystrap_core.cli.common import Common
from occystrap_core.cli.completion_shells import add_shells
from occystrap_core.cli.group import occystrap
from occystrap_core.sources.yaml_document import parse_yaml
from occystrap_core.terminal import EscapedStream
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from occystrap_docker.connection import local_socket
from occystrap_registry.server.server_thread import RegistryServer
from tests.hostile.in_process import run_here
from tests.unit.docker.conftest import daemon, directory  # noqa: F401
from tests.unit.docker.fake_daemon import FakeDaemon
from tests.unit.docker.layouts import legacy
from tests.unit.docker.test_ssh import RELAY, MakeSsh, layers_of, make_ssh  # noqa: F401
from tests.unit.tar.archives import write
from tests.functional.archives import write_docker_archive

PACKAGES = ('occystrap_core', 'occystrap_dir', 'occystrap_tar', 'occystrap_registry', 'occystrap_docker',
            'occystrap_s3', 'occystrap_dask')
_OURS = ('occystrap', 'builtins', 'typing', 'abc', 'collections', 'enum')
EXCUSED = {
    ('_CoreStream', 'start_tls'): 'called where there is TLS, without which no test of it would connect',
    ('Cluster', 'submit'): 'called where there is a scheduler: see tests/functional/scale/workers',
    ('_SecuredClient', 'merge_environment_settings'): 'called where there is TLS: see the tests of certificates',
    ('_Adapter', 'get_connection'): 'the name that requests before 2.32 have for get_connection_with_tls_context',
    ('EscapedStream', 'isatty'): 'asked by code that colours its output, which need not run',
    ('_Size', 'convert'): 'called for options that are given: see the tests of --max-names',
    ('VerifyCommand', 'parse_args'): 'called for verify',
}


def overrides() -> Iterator[tuple[type, str]]:
    """Yield every method of ours that has the name of one of a library's class below it."""
    for package in PACKAGES:
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f'{package}.'):
            if found.name.endswith('__main__'):
                continue
            for each in vars(importlib.import_module(found.name)).values():
                if inspect.isclass(each) and each.__module__ == found.name:
                    yield from ((each, name) for name in _overridden(each))


def _overridden(ours: type) -> list[str]:
    foreign = [base for base in ours.__mro__ if not base.__module__.startswith(_OURS)]
    return [name for name, method in vars(ours).items()
            if inspect.isfunction(method) and not name.startswith('__') and any(name in vars(base) for base in foreign)]


def leftovers() -> Iterator[str]:
    """Yield public methods of subclasses of a library's class that nothing calls: hooks that lost their base."""
    sources = '\n'.join(path.read_text() for package in PACKAGES
                        for path in Path(str(importlib.import_module(package).__file__)).parent.rglob('*.py'))
    for ours in {each for each, _ in overrides()}:
        for name, method in vars(ours).items():
            unused = sources.count(f'.{name}') == 0
            if inspect.isfunction(method) and not name.startswith('_') and unused and name not in _overridden(ours):
                yield f'{ours.__name__}.{name}'


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Return what was called, as soon as it is."""
    seen: set[tuple[str, str]] = set()

    def watch(ours: type, name: str) -> None:
        original = getattr(ours, name)

        def spy(*arguments: object, **more: object) -> object:
            seen.add((ours.__name__, name))
            return original(*arguments, **more)
        monkeypatch.setattr(ours, name, spy)
    for ours, name in list(overrides()):
        watch(ours, name)
    return seen


def test_every_override_is_called(called: set[tuple[str, str]], tmp_path: Path, make_ssh: MakeSsh,  # noqa: F811
                                  daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    daemon.add(legacy(), 'sample:v1')
    (tmp_path / 'relay.py').write_text(RELAY)
    make_ssh(f'exec {sys.executable} {tmp_path}/relay.py {daemon.socket}')
    assert layers_of(host='ssh://build') == 3
    local_socket.get(str(daemon.socket), '/_ping', 5).close()
    with RegistryServer(tmp_path / 'registry') as server:
        write(sample_image(), f'registry://{server.host}/sample:v1')
        run_here('check', f'registry://{server.host}/sample:v1').assert_code(0)
        monkeypatch.setattr('occystrap_registry.transport.connection_pool._is_plain', lambda proxy, http2: False)
        run_here('check', f'registry://localhost:{server.host.rpartition(":")[2]}/sample:v1').assert_code(0)
    image = write_docker_archive(tmp_path / 'a.tar', sample_config(), sample_layers(), 'app:v1')
    run_here('process', '--executor=processes:workers=1', f'tar://{image}', f'dir://{tmp_path}/out').assert_code(0)
    parse_yaml('a: {b: c}', 'a plan')
    run_here('--help').assert_code(0)
    run_here('wrong').assert_code(2)
    _complete(monkeypatch)
    print('text', file=EscapedStream(io.TextIOWrapper(io.BytesIO()), lossy=False), flush=True)
    overridden = {(ours.__name__, name) for ours, name in overrides()}
    uncalled = sorted(overridden - called - EXCUSED.keys())
    assert not uncalled, 'overridden, but not called: is it still a hook of the library?'
    assert not EXCUSED.keys() - overridden, 'excused, but overridden no more'


def _complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Complete the name of a command, as click does for each shell."""
    add_shells()
    for name in ('COMP_WORDS', 'COMP_LINE'):
        monkeypatch.setenv(name, 'occystrap proc')
    for shell in ('bash_complete', 'zsh_complete', 'fish_complete'):
        assert shell_complete(occystrap, {'obj': Common()}, 'occystrap', '_OCCYSTRAP_COMPLETE', shell) == 0


def test_no_override_has_lost_its_base() -> None:
    assert not list(leftovers())


def test_the_embedded_registry_leaves_signals_alone(tmp_path: Path) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    with RegistryServer(tmp_path / 'registry'):
        assert [signal.getsignal(number) for number in numbers] == before
        assert any(thread.name == 'registry' for thread in threading.enumerate())


def test_modules_that_few_runs_use_are_not_run_at_the_start() -> None:
    program = ('import sys, occystrap_registry.input, occystrap_registry.writer\n'
               'print([name for name in ("rich.text", "pygments.lexer", "hpack") if name in sys.modules])')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert done.stdout == '[]\n'


def test_a_verified_copy_needs_few_modules(tmp_path: Path) -> None:
    """The names of distributions, which only messages need, are in their metadata: reading that imports `email`."""
    write_docker_archive(tmp_path / 'a.tar', sample_config(), sample_layers(), 'app:v1')
    program = ('import sys; from occystrap_core.cli.main import _run\n'
               f'assert _run(["process", "tar://{tmp_path}/a.tar", "dir://{tmp_path}/out"]) == 0\n'
               'few = ["email.parser", "occystrap_core.pipeline.dry_run", "click.shell_completion", "secrets"]\n'
               'print([name for name in few if name in sys.modules])')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert done.stdout == '[]\n', done.stderr
