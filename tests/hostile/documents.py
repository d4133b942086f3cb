"""An image whose documents are text, so that a test can have them say what no JSON library writes."""
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from occystrap_core.oci import Digest
from tests.unit.docker.layouts import make_tar
from tests.unit.registry.scripted import Answer, Scripted
from tests.unit.tar.archives import gzipped, hex_of, write_tar

TAR = make_tar([('a', b'here')])
BLOB = gzipped(TAR)
Edit = Callable[[str], str]
_KIND = 'application/vnd.oci.image'


def put_in(text: str, more: str) -> Edit:
    """Return what puts `more` behind `text`, which the document has once."""
    def edit(document: str) -> str:
        assert document.count(text) == 1, document
        return document.replace(text, text + more)
    return edit


def instead(text: str, other: str) -> Edit:
    """Return what puts `other` in place of `text`, which the document has once."""
    def edit(document: str) -> str:
        assert document.count(text) == 1, document
        return document.replace(text, other)
    return edit


@dataclass(frozen=True)
class Written:
    """The image, its documents edited by name: config, manifest, inner (an index), index, layout, archive, old."""

    edits: Mapping[str, Edit] = field(default_factory=dict)
    layers: bool = True
    blob: bytes = BLOB

    def _edited(self, name: str, document: object) -> bytes:
        return self.edits.get(name, lambda text: text)(json.dumps(document)).encode()

    @property
    def config(self) -> bytes:
        """The config."""
        return self._edited('config', {
            'architecture': 'amd64', 'os': 'linux', 'config': {'Cmd': ['/a'], 'Labels': {'l': 'x', 'L': 'y'}},
            'rootfs': {'type': 'layers', 'diff_ids': [Digest.of(TAR)] if self.layers else []},
            'history': [{'created_by': 'step'}] if self.layers else []})

    @property
    def manifest(self) -> bytes:
        """The manifest."""
        return self._edited('manifest', {
            'schemaVersion': 2, 'mediaType': f'{_KIND}.manifest.v1+json',
            'config': _pointer('config.v1+json', self.config),
            'layers': [_pointer('layer.v1.tar+gzip', self.blob)] if self.layers else [],
            'annotations': {'n': '1', 'N': '2'}})

    @property
    def inner(self) -> bytes:
        """An index with the manifest."""
        entry = {**_pointer('manifest.v1+json', self.manifest), 'platform': {'architecture': 'amd64', 'os': 'linux'}}
        return self._edited('inner', {'schemaVersion': 2, 'mediaType': f'{_KIND}.index.v1+json', 'manifests': [entry]})

    def layout(self) -> dict[str, bytes]:
        """The files of an image layout."""
        index = {'schemaVersion': 2, 'manifests': [_pointer('index.v1+json', self.inner)]}
        blobs = {f'blobs/sha256/{hex_of(each)}': each for each in (self.config, self.manifest, self.inner, self.blob)}
        return {'oci-layout': self._edited('layout', {'imageLayoutVersion': '1.0.0'}),
                'index.json': self._edited('index', index), **blobs}

    def archive(self) -> dict[str, bytes]:
        """The members of a docker archive."""
        name = f'{hex_of(self.config)}.json'
        entry = {'Config': name, 'RepoTags': ['app:v1'], 'Layers': ['x/layer.tar'] if self.layers else None}
        return {'x/layer.tar': TAR, name: self.config, 'manifest.json': self._edited('archive', [entry]),
                'repositories': self._edited('old', {'app': {'v1': 'x'}})}

    def put(self, scheme: str, place: Path, server: Scripted) -> str:
        """Put the image where `scheme` reads it; return its URI."""
        if scheme in ('tar', 'oci-tar'):
            files = self.archive() if scheme == 'tar' else self.layout()
            return f'tar://{write_tar(place.with_suffix(".tar"), list(files.items()))}'
        if scheme == 'registry':
            return self._served(server)
        for name, content in (self.layout() if scheme == 'layout' else self.archive()).items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
        return f'{scheme}://{place}'

    def _served(self, server: Scripted) -> str:
        for raw, kind in ((self.inner, 'index'), (self.manifest, 'manifest')):
            answer = Answer(200, raw, [('Content-Type', f'{_KIND}.{kind}.v1+json')])
            server.routes[f'GET /v2/app/manifests/{Digest.of(raw)}'] = answer
            if kind == 'index':
                server.routes['GET /v2/app/manifests/v1'] = answer
        for blob in (self.config, self.blob):
            server.routes[f'GET /v2/app/blobs/{Digest.of(blob)}'] = Answer(200, blob)
            server.routes[f'HEAD /v2/app/blobs/{Digest.of(blob)}'] = Answer(200, blob)
        return f'registry://{server.host}/app:v1'


def _pointer(kind: str, data: bytes) -> dict[str, object]:
    return {'mediaType': f'{_KIND}.{kind}', 'digest': Digest.of(data), 'size': len(data)}
