"""Times mirroring 200 images beside skopeo: `python -m benchmarks.many_images [WORD…] [--latency 0 0.04]`.

The same set goes registry → registry and registry → directory: by occystrap, which verifies what it wrote, by
`skopeo sync` with a list, by a loop of `skopeo copy`, and by eight such copies at once, none of which verifies. All
take turns in each round, each with an empty destination. With a latency every request and every new connection
waits so many seconds on its way, at the source and at the destination. Printed are medians of wall and CPU seconds,
the highest resident MB of a process, and the ratio of each wall time to the first.

With `--against OTHER`, the program of another version of occystrap, such as `.venv/bin/occystrap` in another checkout,
only these two are compared.
"""
import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from benchmarks.turns import Measured, Taken, is_chosen, place, table, take
from tests.services.faults import fault_proxy
from tests.services.many_images import FULL, ManyImages, many_images, many_registry

FAR = 0.04
"""Seconds to another part of the world."""
ONE_BY_ONE = 'skopeo copy, one by one'
SKOPEO = 'skopeo --insecure-policy'
Command = Sequence[object]


@dataclass(frozen=True)
class Work:
    """One round's work of one program: the set, the host to read it from, a directory, the host to write it to."""

    images: ManyImages
    source: str
    directory: Path
    target: str

    @property
    def destination(self) -> str:
        """Where skopeo writes, without the image's name."""
        return f'docker://{self.target}/mirror' if self.target else f'dir:{self.directory}/out'


def ours(work: Work, *options: str, program: Path = Path(sys.executable).with_name('occystrap')) -> Command:
    """Return our command, or that of another version."""
    listed = work.directory / 'images.txt'
    listed.write_text(work.images.list_for(work.source))
    target = (f'registry://{work.target}/mirror/{{repository}}:{{tag}}' if work.target else
              f'dir://{work.directory}/out?unique_names=true')
    return [program, '-q', 'process', f'list://{listed}', target, '-J', '8', '-j', '8', *options]


def sync(work: Work) -> Command:
    """Return `skopeo sync` of all images."""
    listed = work.directory / 'images.yaml'
    tags = dict(name.split(':') for name in work.images.names)
    images = {repository: [tag] for repository, tag in tags.items()}
    listed.write_text(json.dumps({work.source: {'tls-verify': False, 'images': images}}))  # JSON is YAML
    kind, _, place = work.destination.partition(':')
    return [*SKOPEO.split(), 'sync', '--src', 'yaml', '--dest', kind, '--dest-tls-verify=false', listed,
            place.removeprefix('//')]


def copies(work: Work, at_once: int) -> Command:
    """Return a shell's `skopeo copy` of each image."""
    lines = [f'docker://{work.source}/{name} {_single(work, name)}\n' for name in work.images.names]
    (work.directory / 'pairs').write_text(''.join(lines))
    (work.directory / 'out').mkdir()
    copy = f'{SKOPEO} copy -q --src-tls-verify=false --dest-tls-verify=false'
    return ['sh', '-c', f'xargs -n 2 -P {at_once} {copy} <{shlex.quote(str(work.directory))}/pairs']


def _single(work: Work, name: str) -> str:
    return f'{work.destination}/{name}' if work.target else f'{work.destination}/{name.replace("/", "-")}'


def programs(to_registry: bool, other: Path | None = None) -> dict[str, Callable[[Work], Command]]:
    """Return what is compared, ours first; that and the other version alone, if there is one."""
    if other:
        return {'occystrap': ours, str(other): partial(ours, program=other)}
    without = {} if to_registry else {'occystrap --no-sync': _without_sync}
    return {**without, 'occystrap': ours, 'skopeo sync': sync, ONE_BY_ONE: partial(copies, at_once=1),
            'skopeo copy, 8 at once': partial(copies, at_once=8)}


def _without_sync(work: Work) -> Command:
    return ours(work, '--no-sync')


@contextmanager
def far(host: str, latency: float) -> Iterator[str]:
    """Give the host as it is reached over a wire with that latency in seconds."""
    if host and latency:
        with fault_proxy(host, latency=latency) as proxy:
            yield proxy.host
    else:
        yield host


def run(images: ManyImages, source: str, to_registry: bool, latency: float,
        program: Callable[[Work], Command]) -> Taken:
    """Let one program mirror the set into an empty place; returns what it took."""
    with ExitStack() as stack:
        directory, registry = stack.enter_context(place(to_registry))
        near = stack.enter_context(far(source, latency))
        target = stack.enter_context(far(registry, latency))
        return take(program(Work(images, near, directory, target)))


def measured(words: Sequence[str], rounds: int, count: int = FULL, latencies: Sequence[float] = (0.0, FAR),
             other: Path | None = None) -> Iterator[Measured]:
    """Yield what each program took at the jobs whose names contain one of the words, all without words.

    With a latency there are three rounds at most, and no copies one by one, which take minutes.
    """
    images = many_images(count)
    with many_registry(count) as source:
        for latency, to_registry in product(latencies, (True, False)):
            job = f'registry → {"registry" if to_registry else "dir"}, {latency * 1000:.0f} ms of latency'
            if not is_chosen(job, words):
                continue
            compared = programs(to_registry, other)
            if latency:
                compared.pop(ONE_BY_ONE, None)
            taken: dict[str, list[Taken]] = {name: [] for name in compared}
            for _ in range(min(rounds, 3) if latency else rounds):
                for name, program in compared.items():
                    taken[name].append(run(images, source.host, to_registry, latency, program))
            yield Measured(job, taken)


def main() -> None:
    """Compare at all latencies, to a registry and to a directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('words', nargs='*', metavar='WORD')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--count', type=int, default=FULL, help='images; 200 is the whole set')
    parser.add_argument('--latency', type=float, nargs='*', default=[0.0, FAR], help='seconds')
    parser.add_argument('--against', type=Path, metavar='OTHER', help='the program of another version')
    arguments = parser.parse_args()
    for each in measured(arguments.words, arguments.rounds, arguments.count, arguments.latency, arguments.against):
        print(f'\n### {arguments.count} images, {each.job}\n{table(each.taken)}', flush=True)


if __name__ == '__main__':
    main()
