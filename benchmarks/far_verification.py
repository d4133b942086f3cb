"""Times fast verification of many small images far away: `python -m benchmarks.far_verification OTHER [--rounds 3]`.

OTHER is the program of another version, such as `.venv/bin/occystrap` in another checkout. 1,000 images, each with a
layer of its own, are mirrored into a registry; then both versions verify them by the receipts in turn, with 40 ms of
latency for each request and each new connection.
"""
import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.many_images import FAR
from benchmarks.turns import Job, in_turn, table
from tests.services.faults import FaultProxy, Faults, fault_proxy
from tests.services.registry import plain_registry
from tests.services.tiny_image import put_tiny_image

COUNT = 1000
OURS = Path(sys.executable).with_name('occystrap')


@contextmanager
def far_mirror(other: Path, count: int) -> Iterator[tuple[FaultProxy, Path]]:
    """Mirror the images by the older version, whose receipts both can read; give the way there, and the receipts."""
    with tempfile.TemporaryDirectory() as found, plain_registry(Path(found) / 'source') as source, \
            plain_registry(Path(found) / 'mirror') as mirror, fault_proxy(mirror.host) as proxy:
        names = [f'small/app-{number:04}' for number in range(count)]
        for name in names:
            put_tiny_image(source, name, 'v1', files={'etc/name': name.encode()})
        listed, receipts = Path(found) / 'images.txt', Path(found) / 'receipts'
        listed.write_text(''.join(f'registry://{source.host}/{name}:v1\n' for name in names))
        subprocess.run([other, '-q', 'process', f'list://{listed}', f'registry://{proxy.host}/{{repository}}:{{tag}}',
                        '-J', '8', '--receipt', receipts], check=True)
        proxy.faults = Faults(latency=FAR)
        yield proxy, receipts


def main() -> None:
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('other', type=Path)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--count', type=int, default=COUNT)
    arguments = parser.parse_args()
    with far_mirror(arguments.other, arguments.count) as (proxy, receipts):
        job = Job(f'verify, fast, {arguments.count} images at {FAR * 1000:.0f} ms', {
            'occystrap': lambda to, host: [OURS, '-q', 'verify', receipts],
            'the other version': lambda to, host: [arguments.other, '-q', 'verify', receipts]})
        print(f'### {job.name}\n{table(in_turn(job, arguments.rounds))}')


if __name__ == '__main__':
    main()
