"""A process that has the command line imported, and forks for runs of it; see `CommandLine` and `WarmCommandLine`.

It reads a line of JSON for each run, and writes a line with the process's number and one with its exit code. Where the
request has `kept`, the fork is kept for the next such run, if it is as it was; where it has `under_way`, the code comes
only when it is asked for, by a line with `ended`: the process's number. With `user` the fork is that user's.
"""
import ctypes
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import resource
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

import importlib_metadata

from occystrap_core.cli import common
from occystrap_core.cli.main import _run, main
from occystrap_core.plugins.manager import Plugins, build_plugin_manager
from occystrap_core.terminal import guard_streams
from occystrap_core.testing.sample import sample_config, sample_layers

PACKAGES = ('occystrap_core', 'occystrap_dir', 'occystrap_tar', 'occystrap_registry', 'occystrap_docker')
RUNS = ('--version', 'check dir://{0}/absent', '-q process dir://{0}/image layout://{0}/to --report {0}/report.json',
        '-q process layout://{0}/to registry://{1}/app:v1', '-q process registry://{1}/app:v1 tar://{0}/app.tar',
        'info registry://{1}/app:v1', '-q process tar://{0}/app.tar dir://{0}/again -f normalize-timestamps')
MOST = 100
"""Runs in one process."""
PR_SET_DUMPABLE = 4
PATIENCE = 0.1
"""Seconds that each thread has to end by itself when the run is done."""


def prepare() -> list[Any]:
    """Do what each run would do first, once for all, and keep it from being copied by children.

    Returns the caches of functions, which a run that is not the first must find empty.
    """
    for package in PACKAGES:
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f'{package}.'):
            if not found.name.endswith('__main__'):
                importlib.import_module(found.name)
    importlib_metadata.entry_points = functools.cache(importlib_metadata.entry_points)
    common.build_plugin_manager = _installed
    _run_what_is_common()
    caches = [each for each in gc.get_objects() if isinstance(each, functools._lru_cache_wrapper)
              and each.__module__.startswith('occystrap')]
    for cache in caches:
        cache.cache_clear()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000)  # as the command itself has it
    return caches


def _installed() -> Plugins:
    return _loaded(os.environ.get('OCCYSTRAP_DISABLE_PLUGINS'), os.environ.get('OCCYSTRAP_STRICT_PLUGINS'))


@functools.cache
def _loaded(disabled: str | None, strict: str | None) -> Plugins:
    return build_plugin_manager()


def _run_what_is_common() -> None:
    """Run the command here: what is specialized or cached while it runs is then no page that each child copies."""
    from occystrap_registry.server.server_thread import RegistryServer
    before = dict(os.environ)
    with (tempfile.TemporaryDirectory() as place, RegistryServer(Path(place, 'registry')) as server,
          redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as errors):
        os.environ.update(HOME=place, DOCKER_CONFIG=place, XDG_CONFIG_HOME=place, SSL_CERT_FILE=os.devnull)
        _put_image(Path(place, 'image'))
        for words in 2 * RUNS:
            code = _run(words.format(place, server.host).split())
            assert code == ('absent' in words), errors.getvalue()
    os.environ.clear()
    os.environ.update(before)


def _put_image(place: Path) -> None:
    """Write the sample image as `docker save` has it, unpacked."""
    place.mkdir()
    names = [f'{number}.tar' for number, _ in enumerate(sample_layers())]
    manifest = [{'Config': 'config.json', 'RepoTags': ['app:v1'], 'Layers': names}]
    for name, content in zip((*names, 'config.json', 'manifest.json'), (
            *sample_layers(), sample_config(), json.dumps(manifest).encode()), strict=True):
        (place / name).write_bytes(content)


class Runner:
    """A fork that runs commands one after the other while each leaves it as it was; else it ends with the command.

    A fork for each copies some thousand pages each time, which takes longer than most commands.
    """

    def __init__(self, caches: Sequence[Any], user: int | None) -> None:
        (requests, self._requests), (self._codes, codes) = os.pipe(), os.pipe()
        self.number = os.fork()
        if not self.number:
            os.close(self._requests)  # else it would not see its end
            _become(user)
            _run_each(open(requests), codes, caches)
        os.close(requests)
        os.close(codes)

    def code_of(self, line: str) -> int | None:
        """Run the command of a request; return its exit code, None if this process ends with it."""
        with suppress(BrokenPipeError):
            os.write(self._requests, line.encode())
        code = os.read(self._codes, 10)
        return int(code) if code else None

    def end(self) -> int:
        """Wait for its end, and return its exit code."""
        os.close(self._requests)
        os.close(self._codes)
        return os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1])


def _run_each(requests: TextIO, codes: int, caches: Sequence[Any]) -> NoReturn:
    before = None
    for number, line in enumerate(requests):
        request = json.loads(line)
        _enter(request)
        before = before or _state()
        code = _run_guarded(request['arguments'])
        for cache in caches:
            cache.cache_clear()
        if '--debug' in request['arguments'] or number >= MOST or not _is_as(before):
            os._exit(code)
        os.write(codes, f'{code}\n'.encode())
    os._exit(0)


def _run_guarded(arguments: list[str]) -> int:
    """Run the command as `main` does, but for signals and the end of the process."""
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, 'w', closefd=False)
    sys.stderr = open(2, 'w', errors='backslashreplace', closefd=False)
    guard_streams()
    code = _run(arguments)
    with suppress(OSError):
        sys.stdout.flush()
    return code


def _state() -> tuple[object, ...]:
    umask = os.umask(0o77)
    os.umask(umask)
    return len(os.listdir('/proc/self/fd')), umask, resource.getrlimit(resource.RLIMIT_NOFILE)


def _is_as(before: tuple[object, ...]) -> bool:
    """Return whether a command has left nothing behind: threads, processes, open files, limits."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(PATIENCE)
            if thread.is_alive():
                return False
    with suppress(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return False
    gc.collect()  # what the run no longer needs ends with it, and never beside the next one
    gc.freeze()
    return _state() == before


def run(request: dict[str, Any]) -> NoReturn:
    """Become the command, in its directory, with its environment and its output in files."""
    _become(request.get('user'))
    _enter(request)
    main(request['arguments'])


def _enter(request: dict[str, Any]) -> None:
    os.chdir(request['directory'])
    os.environ.clear()
    os.environ.update(request['environment'])
    for number, path in enumerate(request['streams']):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY, 0o644)
        os.dup2(opened, number)
        os.close(opened)


def _become(user: int | None) -> None:
    """Have the rights of a user, for good; what is its own in /proc stays readable, as after a start."""
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)


def serve() -> None:
    """Run what comes."""
    caches = prepare()
    runners: dict[int | None, Runner] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request.get('kept'):
            user = request.get('user')
            runner = runners[user] = runners.get(user) or Runner(caches, user)
            print(runner.number, flush=True)
            if (code := runner.code_of(line)) is None:
                code = runners.pop(user).end()
            print(code, flush=True)
            continue
        child = request.get('ended') or os.fork()
        if not child:
            run(request)
        if 'ended' not in request:
            print(child, flush=True)
        if 'under_way' not in request:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == '__main__':
    serve()
