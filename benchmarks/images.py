"""The images that are measured: the real one of seven layers, and one with a large layer of many entries, each with PAX
records, and three small ones."""
import gzip
import hashlib
import io
import json
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.jobs import push_first_layers
from tests.services.cache import built_once
from tests.services.real_image import real_image, real_registry
from tests.services.real_layers import LARGE
from tests.services.registry import Registry, plain_registry
from tests.services.tiny_image import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, layer_tar
from tests.services.uploads import put_blob, put_manifest

_LARGE, _SMALL = 400 << 20, 3
_NAME = 'large-layer'
_OTHER = 'one-large-layer', '1'


@dataclass(frozen=True)
class MeasuredImage:
    """An image at `reference` of the registry at `host`, and in a docker archive."""

    title: str
    host: str
    reference: str
    archive: Path


def build_images() -> None:
    """Build what of the images is not built yet, which takes 2 GB of memory."""
    real_image(LARGE)
    built_once(*_OTHER, _build)


@contextmanager
def measured_images() -> Iterator[list[MeasuredImage]]:
    """Serve both images, built once a machine; needs root."""
    with ExitStack() as stack:
        real = stack.enter_context(real_registry(LARGE))
        push_first_layers(real.host)
        directory = built_once(*_OTHER, _build)
        other = stack.enter_context(plain_registry(directory / 'registry'))
        yield [MeasuredImage('600 MB in seven layers', real.host, 'real:v1', real_image(LARGE).archive),
               MeasuredImage('one layer of 680 MB with 55,000 PAX headers, three small ones', other.host, f'{_NAME}:v1',
                             directory / 'image.tar')]


def _build(directory: Path) -> None:
    with plain_registry(directory / 'registry') as registry:
        tars = [_large_tar(), *(layer_tar({f'etc/small-{number}': b'small\n' * 500}) for number in range(_SMALL))]
        _push(registry, tars)
        subprocess.run(['skopeo', '--insecure-policy', 'copy', '--src-tls-verify=false',
                        f'docker://{registry.host}/{_NAME}:v1', f'docker-archive:{directory}/image.tar:{_NAME}:v1'],
                       check=True, stdout=subprocess.DEVNULL)


def _large_tar() -> bytes:
    """Return a tar of Python's own files and installed packages, again and again until it is large enough."""
    buffer = io.BytesIO()
    roots = [Path(sysconfig.get_path('stdlib')), *(Path(each) for each in sys.path if each.endswith('-packages'))]
    with tarfile.open(fileobj=buffer, mode='w') as tar:
        copy = 0
        while buffer.tell() < _LARGE:
            copy += 1
            for root in roots:
                if buffer.tell() < _LARGE:
                    tar.add(root, f'opt/copy-{copy}/{root.name}', filter=_settled)
    return buffer.getvalue()


def _settled(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.uid = member.gid = 0
    member.uname = member.gname = ''
    return None if '__pycache__' in member.name else member


def _push(registry: Registry, tars: list[bytes]) -> None:
    layers = [put_blob(registry, _NAME, gzip.compress(tar, 6, mtime=0), LAYER_TYPE) for tar in tars]
    diff_ids = [f'sha256:{hashlib.sha256(tar).hexdigest()}' for tar in tars]
    config = {'os': 'linux', 'architecture': 'amd64', 'config': {}, 'rootfs': {'type': 'layers', 'diff_ids': diff_ids}}
    document = {'schemaVersion': 2, 'mediaType': MANIFEST_TYPE, 'layers': layers,
                'config': put_blob(registry, _NAME, json.dumps(config).encode(), CONFIG_TYPE)}
    put_manifest(registry, _NAME, json.dumps(document).encode(), MANIFEST_TYPE, 'v1')
