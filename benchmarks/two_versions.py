"""Times two installed versions of occystrap on the main jobs: `python -m benchmarks.two_versions OTHER [--rounds 9]`.

OTHER is the program of another version, such as `.venv/bin/occystrap` in another checkout. Both run in turn on the
same real image, the first of each round alternating; printed are medians and minima of wall and CPU seconds, and their
ratios. A busy machine gives nothing: the two minima should be within a few percent of the medians.
"""
import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.turns import Taken, place, take
from tests.services.real_image import real_registry
from tests.services.real_layers import LARGE
from tests.services.registry import plain_registry
from tests.services.tiny_image import put_tiny_image

IMAGES = ('real', 'tiny')
JOBS = {
    '--help': ['--help'],
    'info': ['info', '{source}'],
    'registry → dir': ['-q', 'process', '--no-sync', '{source}', 'dir://{to}/out'],
    'registry → tar': ['-q', 'process', '--no-sync', '{source}', 'tar://{to}/out.tar'],
    'registry → tar, normalised': ['-q', 'process', '--no-sync', '{source}', 'tar://{to}/out.tar', '-f',
                                   'normalize-timestamps'],
    'registry → layout': ['-q', 'process', '--no-sync', '{source}', 'layout://{to}/out'],
    'registry → oci': ['-q', 'process', '--no-sync', '{source}', 'oci://{to}/out'],
    'registry → registry': ['-q', 'process', '{source}', 'registry://{host}/copy:v1'],
}


def run(program: str, words: Sequence[str], source: str) -> Taken:
    """Run one job of one version in an empty place."""
    with place('{host}' in ' '.join(words)) as (to, host):
        return take([program, *(word.format(source=source, to=to, host=host) for word in words)])


def compare(other: str, name: str, source: str, rounds: int) -> None:
    """Let both versions take turns at one job, and print a line."""
    programs = [other, str(Path(sys.executable).with_name('occystrap'))]
    taken: dict[str, list[Taken]] = {program: [] for program in programs}
    for number in range(rounds + 1):
        for program in programs if number % 2 else programs[::-1]:
            each = run(program, JOBS[name], source)
            if number:  # the first round compiles and fills caches
                taken[program].append(each)
    cells = [f'{of(getattr(each, what) for each in taken[program]):.3f}'
             for what in ('wall', 'cpu') for of in (statistics.median, min) for program in programs]
    ratios = [f'{float(ours) / float(before):.2f}' for before, ours in zip(cells[::2], cells[1::2], strict=True)]
    print('| ' + ' | '.join([name, *(f'{before} → {ours} ({ratio})' for before, ours, ratio in
                                     zip(cells[::2], cells[1::2], ratios, strict=True))]) + ' |', flush=True)


@contextmanager
def sources() -> Iterator[dict[str, str]]:
    """Serve the real image and a tiny one; gives the URI of each."""
    with ExitStack() as stack:
        real = stack.enter_context(real_registry(LARGE))
        storage = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tiny = stack.enter_context(plain_registry(storage / 'storage'))
        put_tiny_image(tiny, 'tiny', 'v1')
        yield {'real': f'registry://{real.host}/real:v1', 'tiny': f'registry://{tiny.host}/tiny:v1'}


def main() -> None:
    """Compare all jobs, or those whose names contain the argument."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('other')
    parser.add_argument('only', nargs='?', default='')
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--image', choices=IMAGES, nargs='*', default=IMAGES)
    arguments = parser.parse_args()
    with sources() as found:
        for image in arguments.image:
            print(f'\n### the {image} image\n| job | wall s, median | minimum | CPU s, median | minimum |\n'
                  '| --- | --- | --- | --- | --- |')
            for name in JOBS:
                if arguments.only in name:
                    compare(arguments.other, name, found[image], arguments.rounds)


if __name__ == '__main__':
    main()
