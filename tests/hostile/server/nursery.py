"""A process that has the registry imported, and forks for each: one that kills itself at a certain call to the system.

It reads a line of JSON for each (`root`, `at`, `job`), and writes its port, or nothing where the job is a collection,
and then how many calls it made, if it lived.
"""
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from occystrap_registry.server.garbage import collect
from occystrap_registry.server.layout_index import refresh_layouts
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_registry.server.opened_storage import open_storage

CALLS = ('link', 'replace', 'unlink', 'fsync', 'utime', 'mkdir', 'write')


class Killer:
    """Counts calls, and kills the process before the one with a certain number."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0
        os.fsync = lambda descriptor: None  # a killed process leaves to the system what it has written
        for name in CALLS:
            setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, call: Any) -> Any:
        def counted(*arguments: Any, **more: Any) -> Any:
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1
            return call(*arguments, **more)
        return counted


def work(order: dict[str, Any]) -> None:
    """Do what the order says, and print to the test, past what counts."""
    said = os.fdopen(os.dup(1), 'w', buffering=1)
    with open_storage(Path(order['root'])) as storage:
        killer = Killer(order['at'])
        if order['job'] == 'collect':
            collect(storage, untagged=True, grace=-1)
            refresh_layouts(storage)
        else:
            with RegistryServer(storage) as server:
                print(server.host, file=said)
                sys.stdin.readline()
        print(killer.count, file=said)


if __name__ == '__main__':
    for line in sys.stdin:
        if not (child := os.fork()):
            work(json.loads(line))
            os._exit(0)
        print('ended', os.waitpid(child, 0)[1], flush=True)
