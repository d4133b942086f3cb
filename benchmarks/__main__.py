"""Measures occystrap beside its peers: `python -m benchmarks [JOB…] [--rounds 7]`, as root, on a machine that is quiet.

Builds two images once, starts what it needs, and lets all programs take turns at each job whose name contains one of
the words; all jobs without words. Prints a table; --write makes docs/performance.md, its picture and
benchmarks/performance.json of it. The environment is that of tools/install; the published program 0.4.17 gets one of
its own, for which a package index is needed.
"""
import argparse
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.floors import floors_of, limit
from benchmarks.images import MeasuredImage, measured_images
from benchmarks.jobs import Programs, install_peer, jobs, jobs_of_first_layers
from benchmarks.performance_page import page, picture
from benchmarks.turns import Job, in_turn, medians, table
from tests.services.cache import built_once

ROOT = Path(__file__).parent.parent


def measure(image: MeasuredImage, words: Sequence[str], rounds: int, peer: Path) -> dict[str, Any]:
    """Return the figures of one image, printing each job when it is done."""
    print(f'\n## {image.title}', flush=True)
    with ProcessPoolExecutor(1, get_context('spawn')) as apart:  # programs begin with the memory of who starts them
        floors = apart.submit(floors_of, image.host, image.reference).result()
    print(', '.join(f'{name} {seconds:.2f} s' for name, seconds in floors.items()), flush=True)
    done = []
    for job in _jobs(image, words, peer):
        taken = in_turn(job, rounds)
        least = limit(job, floors)
        print(f'\n### {job.name}{f", limit {least:.2f} s" if least else ""}\n{table(taken)}', flush=True)
        programs = [{'name': name, **asdict(medians(each))} for name, each in taken.items()]
        done.append({'name': job.name, 'limit': least, 'programs': programs,
                     'rounds': {name: [asdict(one) for one in each] for name, each in taken.items()}})
    return {'title': image.title, 'floors': floors, 'jobs': done}


def _jobs(image: MeasuredImage, words: Sequence[str], peer: Path) -> Iterator[Job]:
    found = jobs(Programs(image.host, image.reference, image.archive, peer))
    if image.reference == 'real:v1':
        found += jobs_of_first_layers(Programs(image.host, 'real:first', image.archive, peer))
    return (job for job in found if not words or any(word in job.name for word in words))


def machine() -> str:
    """Return what the figures were measured on."""
    processors = [line.partition(':')[2].strip() for line in Path('/proc/cpuinfo').read_text().splitlines()
                  if line.startswith('model name')]
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') >> 30
    return f'{os.cpu_count()} cores ({processors[0] if processors else platform.machine()}), {memory} GiB of memory, ' \
           f'Linux {platform.release().partition("-")[0]}, Python {platform.python_version()}'


def main() -> None:
    """Measure, print, and write if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('words', nargs='*', metavar='JOB')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--images', type=int, nargs='*', default=[0, 1], help='0 is the real image, 1 the other one')
    parser.add_argument('--write', action='store_true', help='write the page, the picture and the figures')
    arguments = parser.parse_args()
    peer = built_once('peer', '0.4.17', install_peer) / 'venv/bin'
    skopeo = subprocess.run(['skopeo', '--version'], capture_output=True, text=True, check=True).stdout.split()[2]
    run = {'date': date.today().isoformat(), 'machine': machine(), 'rounds': arguments.rounds, 'skopeo': skopeo}
    with measured_images() as images:
        chosen = [images[number] for number in arguments.images]
        figures = {'run': run, 'images': [measure(each, arguments.words, arguments.rounds, peer) for each in chosen]}
    if arguments.write:
        (ROOT / 'benchmarks/performance.json').write_text(json.dumps(figures, indent=1) + '\n')
        (ROOT / 'docs/performance.md').write_text(page(figures))
        (ROOT / 'docs/performance.svg').write_text(picture(figures))


if __name__ == '__main__':
    main()
