"""A push as a daemon does it: really uploaded over HTTP, and reported line by line; or with faults."""
import gzip
import http.client
import json
from collections.abc import Iterator, Sequence

from occystrap_core.oci import Descriptor, Digest, Index, Manifest, media_types
from occystrap_core.testing.sample import sample_config
from tests.unit.docker.layouts import Exported

Line = dict[str, object]


def push(image: Exported, name: str, tag: str, fault: str) -> Iterator[Line | None]:
    """Push and yield what is said of it, None for a pause.

    `fault`: `complain`, `stall`, `cut`, `repeat` its progress after the first layer, `unreachable`, `no manifest`,
    `no layers`, `forged` (bytes that have another digest), `another config`, `another layer`, `swapped` layers in the
    manifest.
    """
    host, _, repository = name.partition('/')
    if fault == 'unreachable':
        yield {'errorDetail': {'message': 'x'}, 'error': f'Get "http://{host}/v2/":\n dial tcp: connection refused'}
        return
    upload = _Upload(host, repository)
    yield {'status': f'The push refers to repository [{name}]'}
    blobs = [gzip.compress(tar, mtime=0) for tar in image.tars]
    if fault == 'another layer':
        blobs[0] = gzip.compress(b'another'.ljust(1024, b'\0'), mtime=0)
    for number, blob in enumerate(() if fault == 'no layers' else dict.fromkeys(blobs)):
        try:
            new = upload.blob(blob + b'x' if fault == 'forged' else blob, Digest.of(blob))
        except ConnectionError as error:
            yield {'error': str(error)}
            return
        yield {'status': 'Pushed' if new else 'Layer already exists', 'id': str(number)}
        if fault == 'complain':
            yield {'errorDetail': {'message': 'no basic auth credentials'}, 'error': 'no basic auth credentials'}
        if fault == 'stall':
            yield None
        while fault == 'repeat':
            yield {'status': 'Waiting', 'id': str(number)}
            yield {'status': 'Waiting', 'id': 'config'}
        if fault in ('cut', 'complain', 'stall'):
            return
    if fault != 'no manifest':
        upload.manifests(image, blobs, tag, fault)
    yield {'aux': {'Tag': tag}}


def by_index(tars: Sequence[bytes]) -> Exported:
    """An image whose ID is the digest of an index, as in containerd's store."""
    config = sample_config(tars)
    manifest = _manifest(config, [gzip.compress(tar, mtime=0) for tar in tars])
    return Exported(Index.build([manifest.descriptor]).digest, config, tars, b'')


def _manifest(config: bytes, blobs: Sequence[bytes]) -> Manifest:
    layers = [Descriptor(f'{media_types.DOCKER_LAYER}.gzip', Digest.of(blob), len(blob)) for blob in blobs]
    return Manifest.build(Descriptor(media_types.DOCKER_CONFIG, Digest.of(config), len(config)), layers,
                          media_types.DOCKER_MANIFEST)


class _Upload:
    """What is sent to one repository, by a connection each, as plainly as the distribution spec allows."""

    def __init__(self, host: str, repository: str) -> None:
        self._host, self._path = host, f'/v2/{repository}'

    def blob(self, blob: bytes, digest: Digest) -> bool:
        """Ask for it, send it, ask again, as Docker does; return False where it is there already."""
        if self._ask('HEAD', f'/blobs/{digest}') != 404:
            return False
        self._ask('POST', f'/blobs/uploads/?digest={digest}', blob, 201)
        self._ask('HEAD', f'/blobs/{digest}', expected=200)
        return True

    def manifests(self, image: Exported, blobs: Sequence[bytes], tag: str, fault: str) -> None:
        """Send config and manifest, and the index of it where the image's ID is the index's digest."""
        config = sample_config(image.tars, 'arm64') if fault == 'another config' else image.config
        self.blob(config, Digest.of(config))
        manifest = _manifest(config, list(reversed(blobs)) if fault == 'swapped' else blobs)
        index = Index.build([manifest.descriptor])
        if image.id == index.digest:
            self._manifest(manifest, manifest.digest)
            self._manifest(index, tag)
        else:
            self._manifest(manifest, tag)

    def _manifest(self, manifest: Manifest | Index, reference: str) -> None:
        self._ask('PUT', f'/manifests/{reference}', manifest.raw, 201, manifest.media_type)

    def _ask(self, method: str, path: str, body: bytes = b'', expected: int = 0, media_type: str = '') -> int:
        connection = http.client.HTTPConnection(self._host, timeout=10)
        try:
            connection.request(method, self._path + path, body, {'Content-Type': media_type} if media_type else {})
            answer = connection.getresponse()
            content = answer.read()
            if expected and answer.status != expected:
                raise ConnectionError(json.loads(content)['errors'][0]['message'])
            return answer.status
        finally:
            connection.close()
