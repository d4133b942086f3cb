"""What no program can avoid: the seconds of each step of the work on one image, by itself, on one core."""
import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import deflate
import httpx
from isal import isal_zlib

from benchmarks.turns import Job, take
from tests.services.registry import plain_registry

_CORES = 2
_PIECE = 1 << 20
_ACCEPT = ', '.join(f'application/vnd.{kind}' for kind in (
    'oci.image.manifest.v1+json', 'docker.distribution.manifest.v2+json'))
Floors = dict[str, float]


def floors_of(host: str, reference: str) -> Floors:
    """Return seconds by step, of an image whose layers are gzip, in the registry at `host`.

    The start is that of `occystrap --version`, the transfers those of curl, the rest the fastest library that we know.
    """
    repository, _, tag = reference.partition(':')
    base = f'http://{host}/v2/{repository}'
    manifest = httpx.get(f'{base}/manifests/{tag}', headers={'Accept': _ACCEPT}).raise_for_status().json()
    digests = [each['digest'] for each in manifest['layers']]
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name, digest.partition(':')[2]) for digest in digests]
        floors = {'start': min(take([Path(sys.executable).with_name('occystrap'), '--version']).wall for _ in range(5)),
                  'get': _get(base, digests, files), 'put': _put(files)}
        return {**floors, **_steps(files)}


def limit(job: Job, floors: Floors) -> float | None:
    """Return the wall seconds below which nothing that starts as we do can come with two cores; None if unknown."""
    if not job.unavoidable:
        return None
    return floors['start'] + sum(floors[each] for each in job.unavoidable) / _CORES


def _get(base: str, digests: Sequence[str], files: Sequence[Path]) -> float:
    words = [word for digest, file in zip(digests, files, strict=True)
             for word in (f'{base}/blobs/{digest}', '-o', file)]
    return take(['curl', '-sSfL', *words]).wall


def _put(files: Sequence[Path]) -> float:
    """Send the blobs to an empty registry, which hashes and stores them."""
    with plain_registry() as registry:
        begun = time.perf_counter()
        for file in files:
            opened = httpx.post(f'http://{registry.host}/v2/floor/blobs/uploads/').raise_for_status()
            target = httpx.URL(opened.headers['Location']).copy_merge_params({'digest': f'sha256:{file.name}'})
            subprocess.run(['curl', '-sSf', '-T', file, '-H', 'Content-Type: application/octet-stream', str(target)],
                           check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begun


def _steps(files: Sequence[Path]) -> Floors:
    floors = dict.fromkeys(('sha256 of blobs', 'inflate', 'sha256 of tars', 'deflate'), 0.0)

    def timed(step: str, work: Callable[[], object]) -> object:
        begun = time.perf_counter()
        done = work()
        floors[step] += time.perf_counter() - begun
        return done
    for file in files:
        stored, plain = hashlib.sha256(), hashlib.sha256()
        for piece, tar in _inflated(file, timed):
            timed('sha256 of blobs', lambda: stored.update(piece))
            timed('sha256 of tars', lambda: plain.update(tar))
            for start in range(0, len(tar), _PIECE):
                timed('deflate', lambda: deflate.gzip_compress(tar[start:start + _PIECE], 2))
        assert stored.hexdigest() == file.name
    return floors


def _inflated(file: Path, timed: Callable[[str, Callable[[], object]], object]) -> Iterator[tuple[bytes, bytes]]:
    """Yield pieces of a gzip file, and what each becomes."""
    inflating = isal_zlib.decompressobj(31)
    with file.open('rb') as stored:
        while piece := stored.read(_PIECE):
            tar = timed('inflate', lambda: inflating.decompress(piece))
            assert isinstance(tar, bytes)
            yield piece, tar
