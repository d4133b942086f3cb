"""Manifests in Docker's format and in OCI's: as requested, and as a registry accepts them."""
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import Image, OutputError, ServiceError, Settings, UsageError, VerifyLevel
from occystrap_core.oci import (
    Compression, Descriptor, Digest, Index, Manifest, ManifestForm, has_form, in_form, index_in_form, media_types,
)
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_registry.server.storage import PushedManifest, Storage
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.services.command_line import CommandResult
from tests.unit.registry.images import pull, push, put_manifest, verify
from tests.unit.registry.scripted import Request, Answer, Scripted
from tests.unit.registry.several import document_at, entry, manifest_at, put_artifact, put_index, put_many

DOCKER = (media_types.DOCKER_MANIFEST, media_types.DOCKER_INDEX)
OCI = (media_types.OCI_MANIFEST, media_types.OCI_INDEX)
FAMILY = {'docker': DOCKER, 'oci': OCI}
WORDS = {'docker': "Docker's format", 'oci': "OCI's format"}
NAMES = {'docker': "Docker's manifests", 'oci': 'OCI manifests'}


class Choosy(Storage):
    """A storage that refuses manifests of some media types."""

    def __init__(self, root: Path, refused: tuple[str, ...], status: int = 400, code: str = 'MANIFEST_INVALID') -> None:
        super().__init__(root)
        self.refused, self.status, self.code = refused, status, code
        self.refusals = 0

    def add_manifest(self, repository: str, manifest: PushedManifest) -> None:
        """Refuse, or store."""
        if manifest.media_type in self.refused:
            self.refusals += 1
            raise Problem(self.status, self.code, 'manifest invalid')
        super().add_manifest(repository, manifest)


@pytest.fixture
def choosy(tmp_path: Path) -> Iterator[Callable[..., tuple[str, Choosy]]]:
    """Starts a registry that refuses media types; returns its host and its storage."""
    with ExitStack() as stack:
        def start(*refused: str, **more: Any) -> tuple[str, Choosy]:
            storage = Choosy(tmp_path / f'choosy{len(list(tmp_path.iterdir()))}', refused, **more)
            return stack.enter_context(RegistryServer(storage)).host, storage
        yield start


@pytest.fixture(scope='module')
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a registry stores of an image as `app:oci` and `app:docker`, and an index with attestations as `many:v1`."""
    root, settings = tmp_path_factory.mktemp('stored'), Settings()
    with RegistryServer(root) as server:
        push(server.host, settings, name='app:oci')
        push(server.host, settings, name='app:docker', format='docker')
        put_many(server.host, settings)
        entries = [each for each in json.loads(manifest_at(server.host, 'v1').content)['manifests']
                   if each['platform']['os'] != 'unknown']
        put_index(server.host, entries, 'plain')
    return root


@pytest.fixture
def source(tmp_path: Path, stored: Path) -> Iterator[str]:
    """A registry of the test's own with all that."""
    with RegistryServer(shutil.copytree(stored, tmp_path / 'source')) as server:
        yield server.host


def process(source: str, target: str, *more: str) -> CommandResult:
    """Copy, and return the result with the JSON document."""
    return run_here('process', '--verify=full', '-O', 'json', source, target, *more)


def notes_of(result: CommandResult) -> list[str]:
    result.assert_code(0)
    return [str(note) for note in json.loads(result.out)['images'][0]['notes']]


def types_at(host: str, name: str, repository: str) -> set[str]:
    """Return the families of all media types of an image or index, and of what it lists."""
    document = document_at(host, name, repository)
    if isinstance(document, Index):
        inner = [types_at(host, each.digest, repository) for each in document.manifests]
        kinds = {'docker' if kind in DOCKER else 'oci' for kind in (
            document.media_type, *(each.media_type for each in document.manifests))}
        return kinds.union(*inner)
    return {'docker' if '.docker.' in kind else 'oci' for kind in (
        document.media_type, document.config.media_type, *(layer.media_type for layer in document.layers))}


@pytest.mark.parametrize('form', ['docker', 'oci'])
def test_the_requested_form(form: str, source: str, settings: Settings, choosy: Any) -> None:
    target, _ = choosy()
    for there in ('docker', 'oci'):
        notes = notes_of(process(f'registry://{source}/app:{there}', f'registry://{target}/app:{there}?format={form}'))
        assert types_at(target, there, 'app') == {form}
        same = document_at(source, there, 'app') == document_at(target, there, 'app')
        assert same == (there == form)
        assert notes == ([] if same else [
            f'{target}/app:{there}: converted to {WORDS[form]}: as requested, with another digest'])
        assert pull(target, settings, f'app:{there}').config.raw == pull(source, settings, f'app:{there}').config.raw


def test_there_and_back_again(source: str, choosy: Any) -> None:
    target, _ = choosy()
    notes_of(process(f'registry://{source}/app:oci', f'registry://{target}/app:a?format=docker'))
    notes_of(process(f'registry://{target}/app:a', f'registry://{target}/app:b?format=oci'))
    assert document_at(target, 'b', 'app').digest == document_at(source, 'oci', 'app').digest


@pytest.mark.parametrize('form', ['docker', 'oci'])
def test_an_index_in_the_requested_form(form: str, source: str, choosy: Any) -> None:
    target, _ = choosy()
    copied = process(f'registry://{source}/many:plain', f'registry://{target}/many:v1?format={form}', '--platform=all')
    assert bool(notes_of(copied)) is (form == 'docker')
    assert types_at(target, 'v1', 'many') == {form}
    platforms = [each.platform for each in document_at(target, 'v1', 'many').manifests]  # type: ignore[union-attr]
    assert platforms == [each.platform for each in document_at(source, 'plain').manifests]  # type: ignore[union-attr]
    back = process(f'registry://{target}/many:v1', f'registry://{target}/many:v2?format=oci', '--platform=all')
    assert bool(notes_of(back)) is (form == 'docker') and types_at(target, 'v2', 'many') == {'oci'}


def test_a_tar_has_no_digest_that_changes(source: str, tmp_path: Path, choosy: Any) -> None:
    target, _ = choosy()
    run_here('-q', 'process', f'registry://{source}/app:oci', f'tar://{tmp_path}/a.tar').assert_code(0)
    for form in ('docker', 'oci'):
        assert notes_of(process(f'tar://{tmp_path}/a.tar', f'registry://{target}/app:v1?format={form}')) == []
        assert types_at(target, 'v1', 'app') == {form}


@pytest.mark.parametrize(('options', 'words'), [
    ('app:zstd', ["Docker's format lacks", 'zstd', 'compression=gzip'])])
def test_layers_that_docker_has_no_format_for(options: str, words: list[str], source: str, settings: Settings,
                                              choosy: Any) -> None:
    target, storage = choosy()
    push(source, settings, sample_image(compression='zstd'), 'app:zstd')
    is_refused(run_here('process', f'registry://{source}/{options}', f'registry://{target}/x:v1?format=docker'), *words)
    assert not list(storage.repositories())


def test_formats_that_contradict(source: str) -> None:
    place = f'registry://{source}/x:v1'
    is_refused(run_here('process', f'registry://{source}/app:oci', f'{place}?format=docker&compression=zstd'),
               'leave out compression=zstd', code=2)
    is_refused(run_here('process', f'registry://{source}/app:oci', f'{place}?format=v1'), 'format', code=2)


def test_referrers_keep_what_they_refer_to(source: str, settings: Settings, choosy: Any) -> None:
    target, _ = choosy()
    for form in ('oci', 'docker'):
        subject = document_at(source, form, 'app').descriptor
        put_artifact(source, b'sbom', repository='app', subject=subject)
        place = f'registry://{target}/app:{form}?format='
        is_refused(run_here('process', f'registry://{source}/app:{form}?referrers=true', place + (
            'oci' if form == 'docker' else 'docker')), 'the digest they refer to', 'referrers=true', code=2)
        copied = process(f'registry://{source}/app:{form}?referrers=true', place + form)
        assert notes_of(copied) == [] and types_at(target, form, 'app') == {form}


@pytest.mark.parametrize(('form', 'status', 'code'), [
    ('docker', 400, 'MANIFEST_INVALID'), ('oci', 400, 'MANIFEST_INVALID'), ('docker', 415, 'MANIFEST_INVALID'),
    ('oci', 415, 'UNSUPPORTED'), ('docker', 400, 'UNSUPPORTED'), ('oci', 405, 'UNSUPPORTED'),
    ('docker', 422, 'UNKNOWN')])
def test_a_registry_that_takes_one_form(form: str, status: int, code: str, source: str, settings: Settings, choosy: Any,
                                        ) -> None:
    other = 'oci' if form == 'docker' else 'docker'
    target, _ = choosy(*FAMILY[other], status=status, code=code)
    for there in ('docker', 'oci'):
        copied = process(f'registry://{source}/app:{there}', f'registry://{target}/app:{there}')
        note = f'{target}/app:{there}: converted to {WORDS[form]}: {target} refused {NAMES[other]}'
        assert notes_of(copied) == ([] if there == form else [note])
        assert (f'note: {note}' in copied.err) is (there != form)
        assert types_at(target, there, 'app') == {form}
        assert document_at(target, there, 'app').digest in copied.out


def test_an_index_for_a_registry_of_docker(source: str, choosy: Any) -> None:
    target, _ = choosy(*OCI)
    copied = process(f'registry://{source}/many:plain', f'registry://{target}/many:v1', '--platform=all')
    assert notes_of(copied) == [f'{target}/many:v1: converted to Docker\'s format: {target} refused OCI manifests']
    assert types_at(target, 'v1', 'many') == {'docker'}


def test_an_index_alone_may_be_what_is_refused(source: str, choosy: Any) -> None:
    target, _ = choosy(media_types.OCI_INDEX)
    is_refused(run_here('process', f'registry://{source}/many:plain', f'registry://{target}/many:v1', '--platform=all'),
               'cannot list', media_types.OCI_MANIFEST)


@pytest.mark.parametrize('jobs', ['1', '4'])
def test_it_is_learned_once(jobs: str, source: str, settings: Settings, choosy: Any) -> None:
    target, storage = choosy(*OCI)
    for number in range(8):
        push(source, settings, sample_image(), f'mirrored:v{number}')
    mirrored, places = f'registry://{source}/mirrored:*', f'registry://{target}/app:{{tag}}'
    copied = run_here('process', '-J', jobs, mirrored, places, '-O', 'json')
    copied.assert_code(0)
    assert storage.refusals == 1
    assert [len(image['notes']) for image in json.loads(copied.out)['images']] == [1] * 8


def test_a_manifest_that_must_keep_its_digest_is_not_converted(source: str, settings: Settings, choosy: Any) -> None:
    target, storage = choosy(*OCI)
    digest = document_at(source, 'oci', 'app').digest
    refused = ('the registry refuses the manifest', "not converted to Docker's format")
    is_refused(run_here('process', f'registry://{source}/app:oci', f'registry://{target}/app@{digest}'), *refused,
               'digest is part of the destination')
    put_artifact(source, b'sbom', repository='app', subject=document_at(source, 'oci', 'app').descriptor)
    is_refused(run_here('process', f'registry://{source}/app:oci?referrers=true', f'registry://{target}/app:v1'),
               *refused)
    is_refused(run_here('process', f'registry://{source}/app:oci', f'registry://{target}/app:v1?format=oci'), *refused,
               'format=oci is requested')
    push(source, settings, sample_image(compression='zstd'), 'app:zstd')
    is_refused(run_here('process', f'registry://{source}/app:zstd', f'registry://{target}/app:v1'), *refused, 'zstd')
    assert 'app' not in storage.repositories() or not storage.tags('app')


@pytest.mark.parametrize(('status', 'code'), [(400, 'MANIFEST_BLOB_UNKNOWN'), (400, 'NAME_INVALID'), (403, 'DENIED'),
                                              (404, 'NAME_UNKNOWN'), (413, 'SIZE_INVALID')])
def test_a_manifest_refused_for_another_reason(status: int, code: str, source: str, choosy: Any) -> None:
    target, storage = choosy(*OCI, status=status, code=code)
    is_refused(run_here('process', f'registry://{source}/app:oci', f'registry://{target}/app:v1', '--settle', '0'),
               'the registry refuses the manifest', f'HTTP {status}')
    assert storage.refusals == 1


def test_a_registry_that_takes_neither(source: str, choosy: Any) -> None:
    target, storage = choosy(*OCI, *DOCKER)
    done = run_here('process', f'registry://{source}/app:oci', f'registry://{target}/app:v1')
    is_refused(done, 'the registry refuses the manifest', 'manifest invalid (HTTP 400)')
    assert storage.refusals == 2


def test_a_pinned_destination_of_the_right_form(source: str, choosy: Any) -> None:
    target, _ = choosy()
    digest = document_at(source, 'docker', 'app').digest
    notes_of(process(f'registry://{source}/app:oci', f'registry://{target}/app@{digest}?format=docker'))
    is_refused(run_here('process', f'registry://{source}/app:oci', f'registry://{target}/app@{digest}?format=oci'),
               'cannot be written: the manifest has digest')


def test_a_tag_that_is_pinned_to_another_digest(source: str, choosy: Any, tmp_path: Path) -> None:
    target, _ = choosy()
    app, receipt = f'registry://{source}/app:oci', tmp_path / 'receipt'
    run_here('process', app, f'registry://{target}/app:v1', '--receipt', receipt).assert_code(0)
    pinned, right = (f'registry://{target}/app:v1@{digest}' for digest in (
        Digest.of(b'another'), document_at(source, 'oci', 'app').digest))
    is_refused(run_here('process', app, pinned), 'cannot be written: the manifest has digest')
    for arguments in ([str(receipt), '--at', pinned], [pinned, '--against', app]):
        assert 'it names another image' in run_here('verify', *arguments).assert_code(1).err
    other_algorithm = f'registry://{target}/app:v1@{Digest.of(b"", "sha512")}'
    assert 'by sha512, its receipt by sha256' in run_here('verify', receipt, '--at', other_algorithm).assert_code(1).err
    run_here('process', app, right).assert_code(0)
    run_here('verify', receipt, '--at', right).assert_code(0)


@pytest.mark.parametrize(('kind', 'compression'), [
    ('application/octet-stream', Compression.GZIP), ('', Compression.GZIP),
    (f'{media_types.DOCKER_LAYER}.gzip', Compression.GZIP),
    (f'{media_types.OCI_FOREIGN_LAYER}+gzip', Compression.GZIP)])
@pytest.mark.parametrize('form', ['docker', 'oci'])
def test_odd_media_types_become_right(kind: str, compression: Compression, form: str, source: str, settings: Settings,
                                      choosy: Any) -> None:
    target, _ = choosy()
    document = json.loads(manifest_at(source, 'oci', 'app').content)
    document['layers'] = [{**layer, 'mediaType': kind} for layer in document['layers']]
    document['config']['mediaType'] = 'application/octet-stream'
    put_manifest(source, document, 'odd', media_types.OCI_MANIFEST)
    notes_of(process(f'registry://{source}/app:odd', f'registry://{target}/app:v1?format={form}'))
    copied = document_at(target, 'v1', 'app')
    assert isinstance(copied, Manifest) and has_form(copied, ManifestForm(form))
    assert all(layer.media_type.endswith('gzip') for layer in copied.layers)
    assert all(('foreign' in layer.media_type or 'nondistributable' in layer.media_type) is (
        'nondistributable' in kind) for layer in copied.layers)


def test_lost_annotations_are_reported(source: str, choosy: Any) -> None:
    target, _ = choosy()
    document = json.loads(manifest_at(source, 'oci', 'app').content)
    put_manifest(source, {**document, 'annotations': {'a': 'b'}}, 'noted', media_types.OCI_MANIFEST)
    note, = notes_of(process(f'registry://{source}/app:noted', f'registry://{target}/app:v1?format=docker'))
    assert note.endswith('as requested, with another digest; its annotations, which that format lacks, are left out')
    assert notes_of(process(f'registry://{source}/app:noted', f'registry://{target}/app:v2?format=oci')) == []


@pytest.mark.parametrize('field', ['subject', 'artifactType'])
def test_docker_knows_no_referrers(field: str) -> None:
    image = sample_image()
    assert image.manifest
    more = {'subject': image.manifest.descriptor.to_json(), 'artifactType': 'application/vnd.example'}[field]
    manifest = Manifest.parse(json.dumps({**json.loads(image.manifest.raw), field: more}).encode())
    with pytest.raises(OutputError, match=f'field {field}, which Docker'):
        in_form(manifest, ManifestForm.DOCKER, lambda layer: Compression.GZIP)
    assert in_form(manifest, ManifestForm.OCI, lambda layer: Compression.GZIP) is manifest
    index = Index.build([Descriptor(media_types.DOCKER_MANIFEST, manifest.digest, 1)])
    index = Index.parse(json.dumps({**json.loads(index.raw), field: more}).encode())
    with pytest.raises(OutputError, match=f'field {field}, which Docker'):
        index_in_form(index, ManifestForm.DOCKER)


def test_platforms_in_a_list_are_whole(source: str) -> None:
    platform = {'architecture': 'amd64', 'os': 'windows', 'os.version': '10.0.1', 'os.features': ['win32k']}
    listed = Descriptor(media_types.DOCKER_MANIFEST, Digest.of(b'x'), 1).to_json()
    index = Index.parse(json.dumps({'schemaVersion': 2, 'manifests': [{**listed, 'platform': platform}]}).encode())
    assert json.loads(index_in_form(index, ManifestForm.DOCKER).raw)['manifests'][0]['platform'] == platform


def test_the_receipt_is_for_what_was_pushed(settings: Settings, choosy: Any) -> None:
    target, _ = choosy(*OCI)
    image: Image = sample_image()
    receipt = push(target, settings, image)
    assert receipt.manifest_digest == document_at(target, 'v1', 'app').digest
    assert image.manifest and receipt.manifest_digest != image.manifest.digest
    for level in (VerifyLevel.FAST, VerifyLevel.FULL):
        assert not verify(receipt, settings, level).findings
    with pytest.raises(UsageError):
        push(target, settings, image, format='docker', compression='zstd')


def test_an_index_within_an_index(source: str, choosy: Any) -> None:
    target, _ = choosy()
    inner = document_at(source, 'plain')
    put_index(source, [entry(inner.descriptor)] * 2, 'nested')
    is_refused(run_here('process', f'registry://{source}/many:nested', f'registry://{target}/x:v1?format=docker',
                        '--platform=all'), 'no index within an index')
    result = process(f'registry://{source}/many:nested', f'registry://{target}/x:v1?format=oci', '--platform=all')
    assert notes_of(result) == []


class Strict(Choosy):
    """A storage that refuses manifests that leave something out."""

    def add_manifest(self, repository: str, manifest: PushedManifest) -> None:
        """Refuse, or store."""
        if not {'schemaVersion', 'mediaType'} <= json.loads(manifest.raw).keys():
            self.refusals += 1
            raise Problem(400, 'MANIFEST_INVALID', 'manifest invalid')
        super().add_manifest(repository, manifest)


@pytest.mark.parametrize('field', ['schemaVersion', 'mediaType'])
def test_one_odd_manifest_says_nothing_about_the_others(field: str, source: str, settings: Settings, tmp_path: Path,
                                                        ) -> None:
    for number in range(1, 4):
        push(source, settings, sample_image(), f'mirrored:v{number}')
    document = json.loads(manifest_at(source, 'oci', 'app').content)
    odd = {name: each for name, each in document.items() if name != field}
    put_manifest(source, odd, 'v0', media_types.OCI_MANIFEST, 'mirrored')
    with RegistryServer(Strict(tmp_path / 'strict', ())) as target:
        places = f'registry://{source}/mirrored:*', f'registry://{target.host}/app:{{tag}}'
        copied = run_here('process', '-J1', *places, '-O', 'json')
        copied.assert_code(0)
        note = f"{target.host}/app:v0: converted to OCI's format: {target.host} refused the manifest as it is"
        assert [image['notes'] for image in json.loads(copied.out)['images']] == [[note], [], [], []]
        assert json.loads(manifest_at(target.host, 'v0', 'app').content) == document


@pytest.mark.parametrize(('status', 'body', 'converted'), [
    (415, b'', True), (400, b'<html>Bad Request</html>', True), (400, b'{"errors": []}', True), (406, b'', True),
    (400, b'{"errors": [{"status": 400, "message": "manifest invalid"}]}', True), (501, b'', True),
    (400, b'{"errors": [{"code": "manifest_invalid"}]}', True), (500, b'{"errors": [{"code": "UNKNOWN"}]}', False),
    (405, b'{"errors": [{"code": "UNSUPPORTED", "message": "Invalid JSON syntax"}]}', True), (422, b'[]', True),
    (400, b'{"errors": [{"code": "MANIFEST_INVALID"}, {"code": "BLOB_UNKNOWN"}]}', False), (404, b'', False),
    (400, b'{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}', False), (409, b'', False), (413, b'', False)])
def test_refusals_of_a_form(status: int, body: bytes, converted: bool, server: Scripted, settings: Settings) -> None:
    taken: list[str] = []

    def put(request: Request) -> Answer:
        kind = request.headers['content-type']
        taken.append(kind)
        return Answer(201) if kind == media_types.DOCKER_MANIFEST else Answer(status, body)
    server.routes |= {'PUT /v2/app/manifests/v1': put, 'GET /v2/app/manifests/v1': Answer(404)}
    image = sample_image()
    assert image.manifest
    for blob in (image.manifest.config, *image.manifest.layers):
        server.routes[f'HEAD /v2/app/blobs/{blob.digest}'] = Answer(200, headers=[('Content-Length', str(blob.size))])
    if converted:
        receipt = push(server.host, settings, image)
        assert receipt.manifest_digest and taken == [media_types.OCI_MANIFEST, media_types.DOCKER_MANIFEST]
    else:
        with pytest.raises(ServiceError, match=f'refuses the manifest.*HTTP {status}'):
            push(server.host, settings, image)
        assert set(taken) == {media_types.OCI_MANIFEST}


def test_attestations_keep_what_they_refer_to(source: str, settings: Settings, choosy: Any) -> None:
    push(source, settings, sample_image(), 'many:docker', format='docker')
    image = document_at(source, 'docker').descriptor
    attestation = put_artifact(source, b'attested', config=media_types.OCI_CONFIG)
    put_index(source, [entry(image, 'linux/amd64'), entry(attestation, 'unknown/unknown', image.digest)], 'attested')
    for target, options in ((choosy()[0], '?format=oci'), (choosy(*DOCKER)[0], '')):
        done = run_here('process', f'registry://{source}/many:attested', f'registry://{target}/app:v1{options}',
                        '--platform=all')
        is_refused(done, 'its attestations refer to its images by digest')
        copied = process(f'registry://{source}/many:attested', f'registry://{target}/app:one{options}',
                         '--platform=linux/amd64')
        assert len(notes_of(copied)) == 2 and types_at(target, 'one', 'app') == {'oci'}


@pytest.mark.parametrize(('refused', 'options'), [((), '?format=docker'), (OCI, '')])
@pytest.mark.parametrize('jobs', ['1', '4'])
def test_attestations_are_left_out_where_docker_has_none(jobs: str, refused: tuple[str, ...], options: str, source: str,
                                                         choosy: Any) -> None:
    target, _ = choosy(*refused)
    place = f'registry://{target}/many:v1{options}'
    copied = process(f'registry://{source}/many:v1', place, '--platform=all', '-j', jobs)
    converted, left_out = notes_of(copied)
    assert converted.startswith(f"{target}/many:v1: converted to Docker's format: ")
    assert left_out == f"{target}/many:v1: left out 2 attestations, which Docker's format does not have"
    assert types_at(target, 'v1', 'many') == {'docker'}
    listed = json.loads(manifest_at(source, 'v1').content)['manifests']
    put_index(source, [{**each, 'annotations': {}} for each in listed], 'bare')
    assert notes_of(process(f'registry://{source}/many:bare', place, '--platform=all'))[1:] == [left_out]
    index, before = document_at(target, 'v1'), document_at(source, 'plain')
    assert isinstance(index, Index) and isinstance(before, Index)
    assert [each.platform for each in index.manifests] == [each.platform for each in before.manifests]


def test_a_registry_that_refuses_attestations_alone(source: str, tmp_path: Path) -> None:
    class Picky(Choosy):
        def add_manifest(self, repository: str, manifest: PushedManifest) -> None:
            """Refuse what is no image, or store."""
            if b'sbom' in manifest.raw:
                raise Problem(400, 'MANIFEST_INVALID', 'manifest invalid')
            super().add_manifest(repository, manifest)
    with RegistryServer(Picky(tmp_path / 'picky', ())) as target:
        place = f'registry://{target.host}/many:v1'
        done = run_here('process', f'registry://{source}/many:v1', place, '--platform=all')
        is_refused(done, 'the registry refuses the manifest', 'manifest invalid (HTTP 400)')


def test_other_artifacts_of_an_index_are_not_left_out(source: str, choosy: Any) -> None:
    image = document_at(source, 'amd64').descriptor
    put_index(source, [entry(image, 'linux/amd64'), entry(put_artifact(source, b'sbom'))], 'mixed')
    words = ("Docker's format is for images only", 'has a application/vnd.example.sbom.content')
    is_refused(run_here('process', f'registry://{source}/many:mixed', f'registry://{choosy()[0]}/x:v1?format=docker',
                        '--platform=all'), *words, 'leave out format=docker, or choose one platform')
    is_refused(run_here('process', f'registry://{source}/many:mixed', f'registry://{choosy(*OCI)[0]}/x:v1',
                        '--platform=all'), 'the registry refuses the manifest', *words)
