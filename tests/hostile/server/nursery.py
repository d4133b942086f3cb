"""A process that has all imported, and forks for each: one that kills itself at a certain call to the system.

It reads a line of JSON for each (`root`, `at`, `job`), and writes its port and process, or nothing where the job is a
collection, and then how many calls it made, if it lived. The job is a registry, a collection, or the addresses of the
registries that a proxy is to have downstream and, if there is another one, upstream.
"""
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from occystrap_core import Settings
from occystrap_registry.proxy.opened_proxy import Proxy, open_proxy
from occystrap_registry.server.garbage import collect
from occystrap_registry.server.layout_index import refresh_layouts
from occystrap_registry.server.opened_storage import open_storage
from occystrap_registry.server.server_thread import RegistryServer, ServerSettings
from tests.services.proxied import remote
from tests.services.warm_server import prepare

CALLS = ('link', 'replace', 'unlink', 'fsync', 'utime', 'mkdir', 'write')


class Killer:
    """Counts calls, and kills the process before the one with a certain number, once it is armed."""

    def __init__(self) -> None:
        self.at, self.count = -1, 0
        os.fsync = lambda descriptor: None  # a killed process leaves to the system what it has written
        for name in CALLS:
            setattr(os, name, self._counted(getattr(os, name)))

    def arm(self, at: int) -> None:
        """Count from now on; never kill if `at` is negative."""
        self.at, self.count = at, 0

    def _counted(self, call: Any) -> Any:
        def counted(*arguments: Any, **more: Any) -> Any:
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1
            return call(*arguments, **more)
        return counted


def work(order: dict[str, Any]) -> None:
    """Do what the order says, and print to the test, past what counts."""
    stream = os.fdopen(os.dup(1), 'w', buffering=1)
    root, job = Path(order['root']), order['job']
    killer = Killer()
    if job == 'collect':
        with open_storage(root) as storage:
            killer.arm(order['at'])
            collect(storage, untagged=True, grace=-1)
            refresh_layouts(storage)
            print(killer.count, file=stream)
    else:
        with registry(root) if job == 'serve' else proxy(root, *job.split()) as server:
            killer.arm(order['at'])
            print(server.host, os.getpid(), file=stream)
            sys.stdin.readline()
            print(killer.count, file=stream)


@contextmanager
def registry(root: Path) -> Iterator[RegistryServer]:
    """Run a registry."""
    with open_storage(root) as storage, RegistryServer(storage) as server:
        yield server


@contextmanager
def proxy(root: Path, downstream: str, upstream: str = '') -> Iterator[RegistryServer]:
    """Run a proxy that filters, and asks upstream at each pull."""
    settings = Settings(timeout=5.0, retries=0)
    above = remote(upstream, settings) if upstream else None
    plan = Proxy(root, remote(f'{downstream}/mirror', settings), above, ['normalize-timestamps'], fresh=0)
    with open_proxy(plan, replace(settings, temporary=plan.temporary()), ServerSettings()) as server:
        yield server


if __name__ == '__main__':
    prepare()
    for line in sys.stdin:
        if not (child := os.fork()):
            work(json.loads(line))
            os._exit(0)
        print('ended', os.waitpid(child, 0)[1], flush=True)
