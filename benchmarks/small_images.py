"""Times 300 small images from registry to registry: `python -m benchmarks.small_images [WORD…] [--rounds 7]`.

Each has one layer of its own. Beside occystrap goes what a program in Python cannot go below (bare_copier.py), which
makes the same requests but for those that find out what is there already.
"""
import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.turns import Job, Measured, chosen, in_turn, table
from tests.services.registry import plain_registry
from tests.services.tiny_image import put_tiny_image

COUNT = 300


def measured(words: Sequence[str], rounds: int, count: int = COUNT) -> Iterator[Measured]:
    """Yield what both programs took, if the name of the job contains one of the words."""
    with tempfile.TemporaryDirectory() as storage, plain_registry(Path(storage) / 'storage') as source:
        names = [f'small/app-{number:04}' for number in range(count)]
        for name in names:
            put_tiny_image(source, name, 'v1', files={'etc/name': name.encode()})
        listed = Path(storage) / 'images.txt'
        listed.write_text(''.join(f'registry://{source.host}/{name}:v1\n' for name in names))
        program = Path(sys.executable).with_name('occystrap')
        job = Job('registry → registry', {
            'occystrap': lambda to, host: [program, '-q', 'process', f'list://{listed}', '-J', '8',
                                           f'registry://{host}/{{repository}}:{{tag}}'],
            'bare copier': lambda to, host: [sys.executable, '-m', 'benchmarks.bare_copier', source.host, host, *names],
        }, registry=True)
        for each in chosen([job], words):
            yield Measured(each.name, in_turn(each, rounds))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('words', nargs='*', metavar='WORD')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--count', type=int, default=COUNT)
    arguments = parser.parse_args()
    for each in measured(arguments.words, arguments.rounds, arguments.count):
        print(f'\n### {each.job}\n{table(each.taken)}', flush=True)


if __name__ == '__main__':
    main()
