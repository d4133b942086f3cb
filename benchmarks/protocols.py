"""Times small requests over HTTP/1.1 and HTTP/2: `python -m benchmarks.protocols [--requests 800] [--rounds 3]`.

A registry behind nginx with TLS is asked for one manifest again and again by several threads, near and over a wire of
40 ms there and back. Compared are a connection of HTTP/1.1 for each thread, as occystrap has it, HTTP/2 with one
connection that all threads share, and HTTP/2 with a connection for each thread. Printed are medians of wall seconds,
connections included, and how many requests failed.
"""
import argparse
import asyncio
import ssl
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx

from tests.services.nginx import nginx
from tests.services.ports import LOOPBACK, free_port
from tests.services.real_image import real_registry
from tests.services.real_layers import LARGE

ACCEPT = 'application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json'


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Hand on what comes, each piece so many seconds after it came."""
    loop = asyncio.get_running_loop()
    while piece := await reader.read(1 << 16):
        loop.call_later(delay, writer.write, piece)
    loop.call_later(delay, writer.close)


@contextmanager
def wire(host: str, there_and_back: float) -> Iterator[str]:
    """Give the host as it is reached over a wire with that delay in seconds; its throughput has no limit."""
    if not there_and_back:
        yield host
        return
    name, _, port = host.rpartition(':')
    near = free_port(LOOPBACK)
    loop = asyncio.new_event_loop()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(there_and_back)  # of the handshake
        with suppress(OSError, asyncio.CancelledError):  # the latter when all is over
            far_reader, far_writer = await asyncio.open_connection(name, int(port))
            await asyncio.gather(_relay(reader, far_writer, there_and_back / 2),
                                 _relay(far_reader, writer, there_and_back / 2))

    loop.run_until_complete(asyncio.start_server(connected, LOOPBACK, near))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f'{LOOPBACK}:{near}'
    finally:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
        loop.call_soon_threadsafe(loop.call_later, 0.2, loop.stop)
        thread.join()
        loop.close()


def ask(url: str, trust: ssl.SSLContext, requests: int, threads: int, http2: bool, shared: bool) -> tuple[float, int]:
    """Return the seconds that all requests took together, and how many failed."""
    started = time.perf_counter()
    clients = [httpx.Client(verify=trust, http1=not http2, http2=http2) for _ in range(1 if shared else threads)]

    def work(number: int) -> int:
        client, failed = clients[number % len(clients)], 0
        for _ in range(requests // threads):
            try:
                failed += client.get(url, headers={'Accept': ACCEPT}).status_code != 200
            except Exception:  # whatever goes wrong is what is counted
                failed += 1
        return failed

    with ThreadPoolExecutor(threads) as pool:
        failed = sum(pool.map(work, range(threads)))
    took = time.perf_counter() - started
    for client in clients:
        client.close()
    return took, failed


WAYS = {'HTTP/1.1, a connection a thread': (False, False), 'HTTP/2, one connection for all': (True, True),
        'HTTP/2, a connection a thread': (True, False)}


def main() -> None:
    """Print a table for each wire and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--requests', type=int, default=800)
    parser.add_argument('--rounds', type=int, default=3)
    arguments = parser.parse_args()
    with real_registry(LARGE) as registry, nginx(registry) as front:
        trust = ssl.create_default_context(cafile=str(front.ca))
        for delay in (0.0, 0.04):
            for threads in (8, 32):
                with wire(front.host, delay) as host:
                    took: dict[str, list[tuple[float, int]]] = {way: [] for way in WAYS}
                    for _ in range(arguments.rounds):
                        for way, (http2, shared) in WAYS.items():
                            took[way].append(ask(f'https://{host}/v2/real/manifests/v1', trust, arguments.requests,
                                                 threads, http2, shared))
                print(f'\n### {arguments.requests} requests, {threads} threads, {delay * 1000:.0f} ms\n'
                      '| way | wall s | failed |\n| --- | --- | --- |')
                for way, each in took.items():
                    wall, failed = statistics.median(wall for wall, _ in each), sum(failed for _, failed in each)
                    print(f'| {way} | {wall:.2f} | {failed} of {arguments.requests * arguments.rounds} |', flush=True)


if __name__ == '__main__':
    main()
