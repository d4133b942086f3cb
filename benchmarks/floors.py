"""What no program can avoid: the seconds of each step of the work on one image, by itself, on one core."""
import hashlib
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
_TRIES = 5
_STEPS = 'sha256 of blobs', 'inflate', 'sha256 of tars', 'deflate', 'write blobs', 'write tars'
_ACCEPT = ', '.join(f'application/vnd.{kind}' for kind in (
    'oci.image.manifest.v1+json', 'docker.distribution.manifest.v2+json'))
_PARALLEL = 'deflate'
"""The step that can be split: into members of a gzip file."""
_LARGEST = 'share of the largest layer'
Floors = dict[str, float]
"""Seconds by step, and the part of the blobs' bytes that are the largest layer's."""


def floors_of(host: str, reference: str) -> Floors:
    """Return the floors of an image whose layers are gzip, in the registry at `host`.

    The start is that of `occystrap --version`, `get` is curl to /dev/null, `put` a plain client to a registry that
    hashes and stores, the rest the fastest library that we know. Of what varies most it is the least of several.
    """
    repository, _, tag = reference.partition(':')
    base = f'http://{host}/v2/{repository}'
    manifest = httpx.get(f'{base}/manifests/{tag}', headers={'Accept': _ACCEPT}).raise_for_status().json()
    sizes = [each['size'] for each in manifest['layers']]
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name, each['digest'].partition(':')[2]) for each in manifest['layers']]
        _get(base, files, discard=False)
        version = [Path(sys.executable).with_name('occystrap'), '--version']
        floors = {'start': min(take(version).wall for _ in range(_TRIES)),
                  'get': min(_get(base, files) for _ in range(_TRIES)), 'put': min(_put(files) for _ in range(_TRIES))}
        layers = [_steps(file) for file in files]
        return {**floors, **{step: sum(each[step] for each in layers) for step in _STEPS},
                _LARGEST: max(sizes) / sum(sizes)}


def limit(job: Job, floors: Floors) -> float | None:
    """Return the wall seconds below which nothing that starts as we do can come with two cores; None if unknown.

    All steps keep two cores busy, and most steps of one layer are one piece of work.
    """
    if not job.unavoidable:
        return None
    longest = max(floors[each] for each in job.unavoidable if each != _PARALLEL) * floors[_LARGEST]
    return floors['start'] + max(sum(floors[each] for each in job.unavoidable) / _CORES, longest)


def _get(base: str, files: Sequence[Path], discard: bool = True) -> float:
    words = ((f'{base}/blobs/sha256:{file.name}', '-o', '/dev/null' if discard else file) for file in files)
    return take(['curl', '-sSfL', *(word for each in words for word in each)]).wall


def _put(files: Sequence[Path]) -> float:
    """Send the blobs to an empty registry, which hashes and stores them."""
    with plain_registry() as registry, httpx.Client(base_url=f'http://{registry.host}/v2/floor/blobs/') as client:
        begun = time.perf_counter()
        for file in files:
            opened = client.post('uploads/').raise_for_status()
            target = httpx.URL(opened.headers['Location']).copy_merge_params({'digest': f'sha256:{file.name}'})
            with file.open('rb') as content:
                client.put(target, content=content, headers={
                    'Content-Type': 'application/octet-stream', 'Content-Length': str(file.stat().st_size)},
                           ).raise_for_status()
        return time.perf_counter() - begun


def _steps(file: Path) -> dict[str, float]:
    seconds = dict.fromkeys(_STEPS, 0.0)

    def timed(step: str, work: Callable[[], object]) -> object:
        begun = time.perf_counter()
        done = work()
        seconds[step] += time.perf_counter() - begun
        return done
    stored, plain = hashlib.sha256(), hashlib.sha256()
    with open(f'{file}.blob', 'wb') as blob, open(f'{file}.tar', 'wb') as unpacked:
        for piece, tar in _inflated(file, timed):
            timed('sha256 of blobs', lambda: stored.update(piece))
            timed('sha256 of tars', lambda: plain.update(tar))
            timed('write blobs', lambda: blob.write(piece))
            timed('write tars', lambda: unpacked.write(tar))
            for start in range(0, len(tar), _PIECE):
                timed('deflate', lambda: deflate.gzip_compress(tar[start:start + _PIECE], 2))
    assert stored.hexdigest() == file.name
    return seconds


def _inflated(file: Path, timed: Callable[[str, Callable[[], object]], object]) -> Iterator[tuple[bytes, bytes]]:
    """Yield pieces of a gzip file, and what each becomes."""
    inflating = isal_zlib.decompressobj(31)
    with file.open('rb') as stored:
        while piece := stored.read(_PIECE):
            tar = timed('inflate', lambda: inflating.decompress(piece))
            assert isinstance(tar, bytes)
            yield piece, tar
