"""Times 300 and 3,000 small images into one directory of many: `python -m benchmarks.thousands [--rounds 3]`.

Each image has one layer of its own. The first 300 of them and all go registry → layout and registry → dir in turn,
several rounds; printed are medians of wall and CPU milliseconds an image, and the highest resident MB. What an image
costs must not grow with their number.
"""
import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.turns import Taken, place, take
from tests.services.registry import plain_registry
from tests.services.tiny_image import put_tiny_image

DESTINATIONS = {'layout': 'layout://{}/out', 'dir': 'dir://{}/out?unique_names=true'}


def run(names: Sequence[str], destination: str) -> Taken:
    """Mirror these images into an empty place; return what it took."""
    with place(registry=False) as (directory, _):
        listed, report = directory / 'images.txt', directory / 'resident'
        listed.write_text('\n'.join(names))
        program = Path(sys.executable).with_name('occystrap')
        # By a small process between: what a program takes over from the one that starts it counts as its own memory.
        taken = take(['time', '-f', '%M', '-o', report, program, '-q', 'process', f'list://{listed}',
                      destination.format(directory)])
        return replace(taken, resident=int(report.read_text()) / 1024)


def compare(names: Sequence[str], few: int, rounds: int) -> None:
    """Let a few and all images take turns at each destination, and print a table."""
    print('| destination | images | wall ms an image | CPU ms an image | resident MB | wall, as a multiple of few |')
    print('| --- | --- | --- | --- | --- | --- |')
    for kind, destination in DESTINATIONS.items():
        chosen = {few: names[:few], len(names): names}
        taken: dict[int, list[Taken]] = {count: [] for count in chosen}
        for _ in range(rounds):
            for count, each in chosen.items():
                taken[count].append(run(each, destination))
        first = statistics.median(each.wall for each in taken[few]) / few
        for count, all_taken in taken.items():
            wall, cpu = (statistics.median(getattr(each, what) for each in all_taken) / count
                         for what in ('wall', 'cpu'))
            resident = max(each.resident for each in all_taken)
            print(f'| {kind} | {count} | {wall * 1000:.1f} | {cpu * 1000:.1f} | {resident:.0f} | {wall / first:.2f} |',
                  flush=True)


def main() -> None:
    """Push the images to a registry, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--few', type=int, default=300)
    parser.add_argument('--many', type=int, default=3000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as storage, plain_registry(Path(storage) / 'storage') as registry:
        names = [f'small/app-{number:04}' for number in range(arguments.many)]
        for name in names:
            put_tiny_image(registry, name, 'v1', files={'etc/name': name.encode()})
        compare([f'registry://{registry.host}/{name}:v1' for name in names], arguments.few, arguments.rounds)


if __name__ == '__main__':
    main()
