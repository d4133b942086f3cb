"""Images with one fault each, made by hand: in registries, docker archives, OCI archives, directories."""
import gzip
import hashlib
import io
import itertools
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

from occystrap_core.oci import media_types
from tests.services.registry import Registry
from tests.unit.core.filters.tars import Entry, entry, hard, tar_of

FILE = b'content'
LOWER = [entry('etc', None), entry('etc/hostname', b'sample\n'), entry('etc/old', b'old'), entry('usr', None)]
UPPER = [entry('opt', None), entry('opt/app', FILE), entry('etc/.wh.old', b'')]
NUMBERS = itertools.count()
GZIP = f'{media_types.OCI_LAYER}+gzip'


def digest_of(data: bytes) -> str:
    """Return the digest."""
    return f'sha256:{hashlib.sha256(data).hexdigest()}'


@dataclass
class Parts:
    """What an image is made of; a fault changes some of it before it is put somewhere."""

    tars: list[bytes] = field(default_factory=lambda: [
        tar_of(LOWER), tar_of([*UPPER, entry('opt/number', f'{next(NUMBERS)}'.encode())])])
    """By default no other image has the same, as damage in a registry would be in both."""
    edit_config: Callable[[dict[str, Any]], Any] = lambda config: config
    edit_manifest: Callable[[dict[str, Any]], Any] = lambda manifest: manifest
    pack: Callable[[bytes], bytes] = lambda tar: gzip.compress(tar, mtime=0)
    """Makes the blob of the upper layer."""
    damage: dict[str, Callable[[bytes], bytes | None]] = field(default_factory=dict)
    """What becomes of `config`, `layer` (the upper one), `manifest` when all digests are made; None removes it."""

    def config(self) -> bytes:
        """Return the config as the manifest means it."""
        steps = [{'created_by': f'step {number}'} for number in range(len(self.tars))]
        config = {'architecture': 'amd64', 'os': 'linux', 'history': steps,
                  'rootfs': {'type': 'layers', 'diff_ids': [digest_of(tar) for tar in self.tars]}}
        return json.dumps(self.edit_config(config)).encode()

    def blobs(self) -> list[bytes]:
        """Return the layers' blobs."""
        return [*(gzip.compress(tar, mtime=0) for tar in self.tars[:-1]), *map(self.pack, self.tars[-1:])]

    def manifest(self) -> bytes:
        """Return the manifest for sources of blobs."""
        def descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
            return {'mediaType': media_type, 'digest': digest_of(blob), 'size': len(blob)}
        manifest = {'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST,
                    'config': descriptor(media_types.OCI_CONFIG, self.config()),
                    'layers': [descriptor(GZIP, blob) for blob in self.blobs()]}
        return json.dumps(self.edit_manifest(manifest)).encode()

    def damaged(self, name: str, content: bytes) -> bytes | None:
        """Return what lies where `content` should."""
        return self.damage.get(name, lambda whole: whole)(content)


def put_in_registry(parts: Parts, registry: Registry, name: str) -> str:
    """Put an image straight into a registry's storage, which takes anything, and return its URI."""
    manifest, blobs = parts.manifest(), parts.blobs()
    items = [('config', parts.config()), *[('', blob) for blob in blobs[:-1]],
             *[('layer', blob) for blob in blobs[-1:]], ('manifest', manifest)]
    for kind, content in items:
        path = registry.blob_path(digest_of(content))
        path.parent.mkdir(parents=True, exist_ok=True)
        registry.link_blob(name, digest_of(content))
        actual = parts.damaged(kind, content)
        path.write_bytes(actual) if actual is not None else path.unlink(missing_ok=True)
    registry.link_manifest(name, 'v1', digest_of(manifest))
    return f'registry://{registry.host}/{name}:v1'


def _saved_files(parts: Parts, name: str) -> dict[str, bytes]:
    """Return the files of an image as `docker save` lays them out."""
    config = parts.config()
    files, layers = {}, []
    for number, tar in enumerate(parts.tars):
        layers.append(f'{digest_of(tar)[7:]}/layer.tar')
        last = number == len(parts.tars) - 1
        actual = parts.damaged('layer', parts.pack(tar)) if last and 'layer' in parts.damage else tar
        if actual is not None:
            files[layers[-1]] = actual
    manifest: Any = parts.edit_manifest({'layers': layers})
    if isinstance(manifest, dict):
        manifest = [{'Config': f'{digest_of(config)[7:]}.json', 'RepoTags': [f'planted/{name}:v1'],
                     'Layers': manifest['layers']}]
    documents = {f'{digest_of(config)[7:]}.json': parts.damaged('config', config),
                 'manifest.json': parts.damaged('manifest', json.dumps(manifest).encode())}
    return {**files, **{name: raw for name, raw in documents.items() if raw is not None}}


def _written(path: Path, files: dict[str, bytes], cut: int = 0) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w') as archive:
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    path.write_bytes(target.getvalue()[:-cut or None])


def put_in_docker_archive(parts: Parts, directory: Path, name: str) -> str:
    """Write a docker archive and return its URI."""
    _written(directory / f'{name}.tar', _saved_files(parts, name), 10240 if 'archive' in parts.damage else 0)
    return f'tar://{directory}/{name}.tar'


def put_in_directory(parts: Parts, directory: Path, name: str) -> str:
    """Write an unpacked docker archive and return its URI."""
    _laid_out(directory / name, _saved_files(parts, name))
    return f'dir://{directory}/{name}'


def put_in_layout(parts: Parts, directory: Path, name: str) -> str:
    """Write an OCI image layout and return its URI."""
    _laid_out(directory / name, _layout_files(parts, name))
    return f'layout://{directory}/{name}'


def put_in_oci_archive(parts: Parts, directory: Path, name: str) -> str:
    """Write an OCI archive and return its URI."""
    _written(directory / f'{name}.tar', _layout_files(parts, name), 10240 if 'archive' in parts.damage else 0)
    return f'tar://{directory}/{name}.tar'


def _laid_out(directory: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _layout_files(parts: Parts, name: str) -> dict[str, bytes]:
    """Return the files of an image layout."""
    manifest, blobs = parts.manifest(), parts.blobs()
    files: dict[str, bytes] = {'oci-layout': b'{"imageLayoutVersion": "1.0.0"}'}
    for kind, content in [('config', parts.config()), *[('', blob) for blob in blobs[:-1]],
                          *[('layer', blob) for blob in blobs[-1:]], ('manifest', manifest)]:
        actual = parts.damaged(kind, content)
        if actual is not None:
            files[f'blobs/sha256/{digest_of(content)[7:]}'] = actual
    media_type = media_types.OCI_MANIFEST
    files['index.json'] = json.dumps({'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': [
        {'mediaType': media_type, 'digest': digest_of(manifest), 'size': len(manifest),
         'annotations': {'org.opencontainers.image.ref.name': f'planted/{name}:v1'}}]}).encode()
    return files


# Faults

def upper(*more: Entry) -> Callable[[], Parts]:
    """Return what makes an image whose upper layer has further entries."""
    return lambda: Parts([tar_of(LOWER), tar_of([*UPPER, *more])])


def raw_upper(change: Callable[[bytes], bytes]) -> Callable[[], Parts]:
    """Return what makes an image whose upper layer's tar was changed by hand."""
    return lambda: Parts([tar_of(LOWER), change(tar_of(UPPER))])


def config(change: Callable[[dict[str, Any]], Any]) -> Callable[[], Parts]:
    """Return what makes an image with another config."""
    return lambda: Parts(edit_config=change)


def damaged(**damage: Callable[[bytes], bytes | None]) -> Callable[[], Parts]:
    """Return what makes an image that was damaged afterwards."""
    return lambda: Parts(damage=damage)


def patched(name: str, start: int, value: bytes) -> Callable[[bytes], bytes]:
    """Return a function that changes a field of an entry header and recomputes its checksum."""
    def change(tar: bytes) -> bytes:
        place = tar.index(name.encode().ljust(100, b'\0'))
        header = bytearray(tar[place:place + 512])
        header[start:start + len(value)] = value
        header[148:156] = b' ' * 8
        header[148:156] = b'%06o\0 ' % sum(header)
        return tar[:place] + bytes(header) + tar[place + 512:]
    return change


def flipped(data: bytes) -> bytes:
    """Return data with one bit changed in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:]


def record(key: str, value: str, twice: bool = False, kind: bytes = b'x') -> bytes:
    """Return a PAX entry, by hand, as tarfile would not write it."""
    text = f' {key}={value}\n'
    length = len(text) + len(str(len(text) + 2))
    body = f'{length}{text}'.encode() * (1 + twice)
    header, content = entry('x', body, kind=kind)
    return tar_of([(header, content)], tarfile.USTAR_FORMAT)[:512 + (len(body) + 511) // 512 * 512]


def with_record(key: str, value: str, twice: bool = False) -> Callable[[bytes], bytes]:
    """Return what puts a PAX record before the entry opt/app."""
    def change(tar: bytes) -> bytes:
        place = tar.index(b'opt/app'.ljust(100, b'\0'))
        return tar[:place] + record(key, value, twice) + tar[place:]
    return change


def without_layers(edit_config: Callable[[dict[str, Any]], Any],
                   edit_manifest: Callable[[dict[str, Any]], Any] = lambda manifest: manifest) -> Parts:
    """Return an image without layers."""
    return Parts([], edit_config, edit_manifest)


EVERYWHERE: dict[str, Callable[[], Parts]] = {
    'path-escapes': upper(entry('opt/../../evil', FILE)),
    'path-absolute': upper(entry('/srv', None)),
    'path-through-link': upper(entry('opt/link', '/etc'), entry('opt/link/passwd', FILE)),
    'path-through-file': upper(entry('opt/app/below', FILE)),
    'path-too-long': upper(entry('n' * 256, FILE)),
    'path-empty': raw_upper(patched('opt/app', 0, bytes(100))),
    'link-escapes': upper(hard('opt/hard', '../../etc/passwd')),
    'link-without-target': upper(hard('opt/hard', 'opt/nothing')),
    'duplicate-entry': upper(entry('./opt/app', b'other')),
    'entry-type': upper(entry('opt/odd', FILE, kind=b'Z')),
    'entry-time': raw_upper(patched('opt/', 136, bytes([255] * 4) + (-62135596800 % 2**64).to_bytes(8, 'big'))),
    'entry-owner': raw_upper(with_record('uid', '-2')),
    'entry-with-data': raw_upper(patched('opt/', 124, b'00000001000\0')),
    'whiteout-invalid': upper(entry('opt/.wh...', b'')),
    'whiteout-not-empty': upper(entry('etc/.wh.hostname', b'x')),
    'whiteout-of-own-entry': upper(entry('etc/.wh.hostname', b''), entry('etc/hostname', FILE)),
    'whiteout-without-target': upper(entry('etc/.wh.nothing', b'')),
    'pax-repeated': raw_upper(with_record('comment2', 'x', twice=True)),
    'pax-empty': raw_upper(with_record('uid', '')),
    'extended-headers': raw_upper(lambda tar: record('comment2', 'x') + record('comment2', 'x') + tar),
    'pax-size': raw_upper(with_record('size', '8')),
    'pax-value': raw_upper(with_record('mtime', 'yesterday')),
    'pax-global': raw_upper(lambda tar: record('comment', 'x', kind=b'g') + tar),
    'tar-end': raw_upper(lambda tar: tar.rstrip(b'\0') + bytes(-len(tar.rstrip(b'\0')) % 512)),
    'tar-data-behind-end': raw_upper(lambda tar: tar + b'hidden'.ljust(512, b'\0')),
    'tar-invalid': raw_upper(lambda tar: tar[:512] + b'x' * 512 + tar[1024:]),
    'config-platform': config(lambda config: {**config, 'architecture': ''}),
    'document-ambiguous': config(lambda config: {**config, 'OS': 'windows'}),
    'config-fields': config(lambda config: {**config, 'created': 'yesterday'}),
    'config-invalid': config(lambda config: {**config, 'rootfs': 'none'}),
    'config-digest': damaged(config=lambda raw: raw.replace(b'amd64', b'amd63')),
    'config-missing': damaged(config=lambda raw: None),
    'field-case': config(lambda config: {**{name: each for name, each in config.items() if name != 'rootfs'},
                                         'rootfS': config['rootfs']}),
    'diff-ids-missing': lambda: without_layers(lambda config: {**config, 'rootfs': {}}),
    'rootfs-type': config(lambda config: {**config, 'rootfs': {**config['rootfs'], 'type': 'layer'}}),
    'history-invalid': config(lambda config: {**config, 'history': ['a step', 'another']}),
    'history-count': config(lambda config: {**config, 'history': config['history'][:1]}),
    'layer-count': config(lambda config: {**config, 'rootfs': {
        **config['rootfs'], 'diff_ids': config['rootfs']['diff_ids'][:1]}, 'history': None}),
    'layer-diff-id': config(lambda config: {**config, 'rootfs': {
        **config['rootfs'], 'diff_ids': [config['rootfs']['diff_ids'][0], digest_of(b'other')]}}),
    'layer-missing': damaged(layer=lambda blob: None),
}
OF_BLOBS: dict[str, Callable[[], Parts]] = {
    'config-size': lambda: Parts(edit_manifest=lambda manifest: {
        **manifest, 'config': {**manifest['config'], 'size': manifest['config']['size'] + 1}}),
    'layer-digest': damaged(layer=flipped),
    'layer-size': damaged(layer=lambda blob: blob[:-7]),
    'layer-compression': lambda: Parts(pack=lambda tar: flipped(gzip.compress(tar, mtime=0))),
    'layer-padding': lambda: Parts(pack=lambda tar: gzip.compress(tar, mtime=0) + bytes(512)),
    'layer-media-type': lambda: Parts(pack=lambda tar: zstandard.compress(tar)),
    'manifest-invalid': lambda: Parts(edit_manifest=lambda manifest: {
        **manifest, 'config': {**manifest['config'], 'size': -1}}),
    'manifest-fields': lambda: Parts(edit_manifest=lambda manifest: {
        **manifest, 'subject': {'digest': '../../x', 'size': 1}}),
    'descriptor-data': lambda: Parts(edit_manifest=lambda manifest: {
        **manifest, 'config': {**manifest['config'], 'data': 'b3RoZXI='}}),
    'manifest-untyped': lambda: Parts(edit_manifest=lambda manifest: {**manifest, 'mediaType': None}),
    'config-media-type': lambda: Parts(edit_manifest=lambda manifest: {
        **manifest, 'config': {**manifest['config'], 'mediaType': 'application/octet-stream'}}),
    'layers-missing': lambda: without_layers(lambda config: config, lambda manifest: {**manifest, 'layers': None}),
    'manifest-media-type': lambda: Parts(edit_manifest=lambda manifest: {**manifest, 'manifests': []}),
    'manifest-digest': damaged(manifest=lambda raw: raw + b' '),
    'manifest-missing': damaged(manifest=lambda raw: None),
    'media-types-mixed': lambda: Parts(edit_manifest=lambda manifest: {
        **manifest, 'layers': [{**layer, 'mediaType': f'{media_types.DOCKER_LAYER}.gzip'}
                               for layer in manifest['layers']]}),
}
OF_TARS: dict[str, Callable[[], Parts]] = {
    'layer-compression': lambda: Parts(damage={'layer': flipped}),
    'manifest-invalid': damaged(manifest=lambda raw: b'{"not": "a list"}'),
    'manifest-missing': damaged(manifest=lambda raw: None),
    'layer-shared': lambda: Parts(edit_manifest=lambda manifest: {'layers': manifest['layers'][:1] * 2}),
}
OF_ARCHIVES: dict[str, Callable[[], Parts]] = {'archive-invalid': damaged(archive=lambda raw: raw)}

COMPANIONS: dict[str, set[str]] = {
    'layer-digest': {'layer-compression'},
    'layer-size': {'layer-compression'},
    'path-empty': set(),
    'whiteout-not-empty': set(),
}
"""What a fault brings along on some sources."""
