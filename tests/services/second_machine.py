"""A second machine as the network sees it: a network namespace with an address of its own, behind a veth pair."""
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.services.requirements import require_program, require_root


@dataclass(frozen=True)
class SecondMachine:
    """It: programs run there under `wrapper`; `here` is this machine's address on the way to `there`."""

    wrapper: tuple[str, ...]
    here: str
    there: str


@contextmanager
def second_machine() -> Iterator[SecondMachine]:
    """Make one, with nothing but the way to this one."""
    require_root('a network namespace')
    number = os.getpid() % 250 + 1
    name, ends = f'occystrap-{number}', (f'occy{number}a', f'occy{number}b')
    machine = SecondMachine((require_program('ip', 'iproute2'), 'netns', 'exec', name), f'10.77.{number}.1',
                            f'10.77.{number}.2')
    ip = machine.wrapper[0]
    _run(ip, 'netns', 'add', name)
    try:
        _run(ip, 'link', 'add', ends[0], 'type', 'veth', 'peer', 'name', ends[1], 'netns', name)
        _run(ip, 'addr', 'add', f'{machine.here}/24', 'dev', ends[0])
        _run(ip, 'link', 'set', ends[0], 'up')
        for command in (('addr', 'add', f'{machine.there}/24', 'dev', ends[1]), ('link', 'set', ends[1], 'up'),
                        ('link', 'set', 'lo', 'up')):
            _run(*machine.wrapper, ip, *command)
        yield machine
    finally:
        _run(ip, 'netns', 'del', name)  # and with it both ends


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
