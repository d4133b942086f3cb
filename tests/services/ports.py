"""Free TCP ports of this machine."""

import random
import socket
from contextlib import suppress

from tests.services.requirements import ServiceUnavailable

LOOPBACK = '127.0.0.1'
_PORTS = range(20_000, 32_000)
"""Below those that systems give to whoever asks for any port, so that nobody gets one by chance before it is bound."""
_reserved: list[socket.socket] = []


def free_port(address: str = LOOPBACK) -> int:
    """A port of an address that was free a moment ago; of all test processes this one alone gets it, until it ends.

    Raises ServiceUnavailable where no port is free.
    """
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        if _reserve(port):
            with suppress(OSError), socket.socket() as probe:
                probe.bind((address, port))
                return port
    raise ServiceUnavailable(f'no port of {address} is free')


def _reserve(port: int) -> bool:
    """Whether the port is this process's now: a name in Linux' memory, which goes with the process that holds it."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f'\0occystrap-tests-port-{port}')
    except OSError:
        name.close()
        return False
    _reserved.append(name)
    return True


def own_address() -> str:
    """An address of this machine that others could reach; raises ServiceUnavailable where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(('198.51.100.1', 9))  # sends nothing
        except OSError:
            raise ServiceUnavailable('this machine has no address but 127.0.0.1') from None
        return str(probe.getsockname()[0])
