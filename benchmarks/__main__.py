"""Measures occystrap beside its peers: `python -m benchmarks [WORD…] [--parts PART…] [--rounds 7]`, as root, when
nothing else runs.

Builds the images once, starts what it needs, and lets all programs take turns at each job whose name contains one of
the words; all jobs without words. Prints tables; --write puts the parts that were measured into
benchmarks/performance.json, and makes docs/performance.md and its picture of all that is there. The environment is that
of tools/install; the published program 0.4.17 gets one of its own, for which a package index is needed.
"""
import argparse
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import daemons, from_device, many_images, small_images, start_up, thousands
from benchmarks.floors import floors_of, limit
from benchmarks.images import MeasuredImage, build_images, measured_images
from benchmarks.jobs import Programs, install_peer, jobs, jobs_of_first_layers
from benchmarks.performance_page import page, picture
from benchmarks.turns import Job, Measured, chosen, in_turn, medians, table
from tests.services.cache import built_once

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / 'benchmarks/performance.json'
IMAGES = 'images'
OTHERS: Mapping[str, tuple[str, Callable[[Sequence[str], int], Iterator[Measured]]]] = {
    'daemons': ('In and out of a Docker daemon, 600 MB in seven layers', daemons.measured),
    'many': ('200 images', many_images.measured),
    'small': ('300 small images', small_images.measured),
    'thousands': ('1,000 small images, when 300 and when 3,000 are copied', thousands.measured),
    'device': ('Full verification, from the device', from_device.measured),
    'start': ('Start', start_up.measured),
}


def images(words: Sequence[str], rounds: int) -> list[dict[str, Any]]:
    """Return the sections of the two images."""
    peer = built_once('peer', '0.4.17', install_peer) / 'venv/bin'
    with ProcessPoolExecutor(1, get_context('spawn')) as apart:  # programs begin with the memory of who starts them
        apart.submit(build_images).result()
    with measured_images() as found:
        return [_image(each, words, rounds, peer) for each in found]


def _image(image: MeasuredImage, words: Sequence[str], rounds: int, peer: Path) -> dict[str, Any]:
    with ProcessPoolExecutor(1, get_context('spawn')) as apart:
        floors = apart.submit(floors_of, image.host, image.reference).result()
    print(', '.join(f'{name} {value:.2f}' for name, value in floors.items()), flush=True)
    measured = (Measured(job.name, in_turn(job, rounds), limit(job, floors)) for job in _jobs(image, words, peer))
    return {**section(image.title, measured), 'floors': floors}


def _jobs(image: MeasuredImage, words: Sequence[str], peer: Path) -> list[Job]:
    found = jobs(Programs(image.host, image.reference, image.archive, peer))
    if image.reference == 'real:v1':
        found += jobs_of_first_layers(Programs(image.host, 'real:first', image.archive, peer))
    return chosen(found, words)


def section(title: str, measured: Iterator[Measured]) -> dict[str, Any]:
    """Return the figures of a section, printing each job when it is done."""
    print(f'\n## {title}', flush=True)
    done = []
    for each in measured:
        print(f'\n### {each.job}{f", limit {each.limit:.2f} s" if each.limit else ""}\n{table(each.taken)}', flush=True)
        done.append({'name': each.job, 'limit': each.limit, 'date': date.today().isoformat(),
                     'programs': [{'name': name, **asdict(medians(taken))} for name, taken in each.taken.items()],
                     'rounds': {name: [asdict(one) for one in taken] for name, taken in each.taken.items()}})
    return {'title': title, 'jobs': done}


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
    parser.add_argument('words', nargs='*', metavar='WORD')
    parser.add_argument('--parts', nargs='+', choices=[IMAGES, *OTHERS], default=[IMAGES, *OTHERS])
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--write', action='store_true', help='write the page, the picture and the figures')
    arguments = parser.parse_args()
    skopeo = subprocess.run(['skopeo', '--version'], capture_output=True, text=True, check=True).stdout.split()[2]
    run = {'date': date.today().isoformat(), 'machine': machine(), 'rounds': arguments.rounds, 'skopeo': skopeo}
    kept = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    for part in arguments.parts:
        title, measured = OTHERS.get(part, ('', None))
        sections = [section(title, measured(arguments.words, arguments.rounds))] if measured else images(
            arguments.words, arguments.rounds)
        kept[part] = {**run, 'sections': _joined(kept.get(part, {}).get('sections', ()), sections)}
        if arguments.write:
            write({name: kept[name] for name in (IMAGES, *OTHERS) if name in kept})


def _joined(earlier: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return sections with the jobs of an earlier run that were not measured again."""
    kept = {each['title']: {job['name']: job for job in each['jobs']} for each in earlier}
    jobs = [{**kept.get(each['title'], {}), **{job['name']: job for job in each['jobs']}} for each in new]
    return [{**each, 'jobs': [*found.values()]} for each, found in zip(new, jobs, strict=True)]


def write(figures: Mapping[str, Any]) -> None:
    """Write what was measured, the page and the picture."""
    FIGURES.write_text(json.dumps(figures, indent=1) + '\n')
    (ROOT / 'docs/performance.md').write_text(page(figures))
    if IMAGES in figures:
        (ROOT / 'docs/performance.svg').write_text(picture(figures[IMAGES]['sections'][0]))


if __name__ == '__main__':
    main()
