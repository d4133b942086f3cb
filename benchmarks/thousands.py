"""Times 300 and 3,000 small images into one directory of many: `python -m benchmarks.thousands [WORD…] [--rounds 3]`.

Each image has one layer of its own. The first 300 of them and all go registry → layout and registry → dir in turn,
several rounds; what is given are seconds for a thousand images. What an image costs must not grow with their number.
"""
import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.turns import Measured, Taken, is_chosen, place, table, take
from tests.services.registry import plain_registry
from tests.services.tiny_image import put_tiny_image

DESTINATIONS = {'registry → layout': 'layout://{}/out', 'registry → dir': 'dir://{}/out?unique_names=true'}
FEW, MANY = 300, 3000


def run(names: Sequence[str], destination: str) -> Taken:
    """Mirror these images into an empty place; return what a thousand of them took."""
    with place(registry=False) as (directory, _):
        listed = directory / 'images.txt'
        listed.write_text('\n'.join(names))
        program = Path(sys.executable).with_name('occystrap')
        taken = take([program, '-q', 'process', f'list://{listed}', destination.format(directory)])
        return replace(taken, wall=taken.wall * 1000 / len(names), cpu=taken.cpu * 1000 / len(names))


def measured(words: Sequence[str], rounds: int, few: int = FEW, many: int = MANY) -> Iterator[Measured]:
    """Yield what few and many images took at the destinations whose names contain one of the words; at most three
    rounds."""
    with tempfile.TemporaryDirectory() as storage, plain_registry(Path(storage) / 'storage') as registry:
        names = [f'small/app-{number:04}' for number in range(many)]
        for name in names:
            put_tiny_image(registry, name, 'v1', files={'etc/name': name.encode()})
        listed = [f'registry://{registry.host}/{name}:v1' for name in names]
        for job, destination in DESTINATIONS.items():
            if is_chosen(job, words):
                taken: dict[str, list[Taken]] = {f'occystrap, of {few:,}': [], f'occystrap, of {many:,}': []}
                for _ in range(min(rounds, 3)):
                    for count, each in zip((few, many), taken.values(), strict=True):
                        each.append(run(listed[:count], destination))
                yield Measured(job, taken)


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('words', nargs='*', metavar='WORD')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--few', type=int, default=FEW)
    parser.add_argument('--many', type=int, default=MANY)
    arguments = parser.parse_args()
    for each in measured(arguments.words, arguments.rounds, arguments.few, arguments.many):
        print(f'\n### {each.job}\n{table(each.taken)}', flush=True)


if __name__ == '__main__':
    main()
