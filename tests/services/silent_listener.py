"""A host that accepts connections and answers nothing, and counts them."""
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass
class Listener:
    """Its address, and how many connections it has accepted."""

    host: str
    connections: int = 0


@contextmanager
def listener(holds: bool) -> Iterator[Listener]:
    """Run one on loopback, which closes each connection, or `holds` it open."""
    with socket.socket() as listening:
        listening.bind(('127.0.0.1', 0))
        listening.listen(50)
        counted, held = Listener(f'127.0.0.1:{listening.getsockname()[1]}'), []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection = listening.accept()[0]
                    counted.connections += 1
                    held.append(connection)
                    if not holds:
                        connection.close()
        threading.Thread(target=accept, daemon=True).start()
        yield counted
        listening.shutdown(socket.SHUT_RDWR)
        for each in held:
            each.close()
