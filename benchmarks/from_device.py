"""Times full verification of what is not in memory, beside sha256sum: `python -m benchmarks --parts device`.

The image is written once to each place; before each round the system's caches are dropped, so that all is read from the
device of TMPDIR. sha256sum reads the same files on as many processes as there are cores. Needs root.
"""
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.turns import Job, Measured, in_turn, is_chosen
from tests.services.real_image import real_image
from tests.services.real_layers import LARGE

OURS = str(Path(sys.executable).with_name('occystrap'))
PLACES = {'dir': 'dir://{}/image', 'layout': 'layout://{}/image', 'tar': 'tar://{}/image.tar',
          'OCI archive': 'tar://{}/image-oci.tar?format=oci'}
_DROP = Path('/proc/sys/vm/drop_caches')


def measured(words: Sequence[str], rounds: int) -> Iterator[Measured]:
    """Yield what each program took at the jobs whose names contain one of the words, all without words."""
    for name, pattern in PLACES.items():
        job = f'verify --verify=full, {name}'
        if is_chosen(job, words):
            with tempfile.TemporaryDirectory() as directory:
                written = pattern.format(directory)
                subprocess.run([OURS, '-q', 'process', f'tar://{real_image(LARGE).archive}', written, '--receipt',
                                f'{directory}/receipt'], check=True, stderr=subprocess.DEVNULL)
                yield Measured(job, in_turn(_job(job, Path(directory)), rounds, _cold))


def _job(name: str, directory: Path) -> Job:
    hashing = f'find {directory}/image* -type f -print0 | xargs -0 -n 1 -P {os.cpu_count()} sha256sum'
    return Job(name, {'occystrap': lambda to, _: [OURS, '-q', 'verify', directory / 'receipt', '--verify=full'],
                      'sha256sum': lambda to, _: ['sh', '-ec', hashing]})


@contextmanager
def _cold(registry: bool) -> Iterator[tuple[Path, str]]:
    """Drop the system's caches; nothing is written."""
    os.sync()
    _DROP.write_text('3')
    yield Path(), ''
