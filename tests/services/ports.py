"""Free TCP ports of this machine."""

import socket

LOOPBACK = '127.0.0.1'


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago; nobody holds it, so bind it at once."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
