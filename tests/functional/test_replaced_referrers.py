"""What a replaced image leaves in a layout: its referrers go with it, unless they refer to what is still there."""
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core import Settings
from occystrap_core.oci import Descriptor, Digest
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.unit.registry.images import push
from tests.unit.registry.several import document_at, put_artifact

NAME = 'team/app:v1'


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with RegistryServer(tmp_path / 'registry') as server:
        push(server.host, Settings(), sample_image(NAME), NAME)
        sign(server.host)
        yield server.host


def sign(host: str) -> list[Digest]:
    """Give the image that has the name now an SBOM, a signature of that, and one under cosign's tag."""
    image = document_at(host, 'v1', 'team/app').descriptor
    sbom = put_artifact(host, b'sbom' + image.digest.encode(), repository='team/app', subject=image)
    signature = put_artifact(host, b'signature', repository='team/app', subject=sbom)
    tagged = put_artifact(host, b'cosign' + image.digest.encode(), f'sha256-{image.digest.hex}.sig', 'team/app')
    return [each.digest for each in (sbom, signature, tagged)]


def run(*arguments: str | Path, code: int = 0) -> CommandResult:
    result = run_here(*arguments)
    result.assert_code(code)
    return result


def copied(host: str, layout: Path, *more: str, name: str = NAME) -> None:
    run('process', f'registry://{host}/{name}?referrers=true', f'layout://{layout}', *more)


def listed(layout: Path) -> list[str]:
    return [each['digest'] for each in json.loads((layout / 'index.json').read_bytes())['manifests']]


def blobs(layout: Path) -> set[str]:
    return {f'sha256:{each.name}' for each in (layout / 'blobs/sha256').iterdir()}


def moved(host: str) -> None:
    push(host, Settings(), sample_image(NAME, variant='moved'), NAME)


def test_they_go_with_the_image(host: str, tmp_path: Path) -> None:
    layout, old = tmp_path / 'layout', sign(host)
    copied(host, layout)
    assert set(old) <= set(listed(layout)) <= blobs(layout)
    moved(host)
    new = sign(host)
    copied(host, layout)
    assert len(listed(layout)) == 4 and set(new) <= set(listed(layout)) and not set(old) & blobs(layout)
    assert '1/1 verified' in run('verify', '--full', f'layout://{layout}').err
    reached = {each for digest in listed(layout) for each in _below(layout, digest)}
    assert reached == blobs(layout)


def test_they_stay_with_another_name_of_the_image(host: str, tmp_path: Path) -> None:
    layout, old = tmp_path / 'layout', sign(host)
    copied(host, layout)
    run('process', f'registry://{host}/{NAME}', f'layout://{layout}:other')
    moved(host)
    copied(host, layout)
    assert set(old) <= set(listed(layout))
    assert '2/2 verified' in run('verify', '--full', f'layout://{layout}').err
    run('process', f'registry://{host}/{NAME}', f'layout://{layout}:other')  # now nothing has the image any more
    assert set(old) <= set(listed(layout))  # but no receipt says who brought them: they stay, as another program's do
    assert '2/2 verified' in run('verify', '--full', f'layout://{layout}').err


def test_a_run_without_referrers_leaves_those_of_the_same_image(host: str, tmp_path: Path) -> None:
    layout, old = tmp_path / 'layout', sign(host)
    copied(host, layout)
    run('process', f'registry://{host}/{NAME}', f'layout://{layout}', '--no-refresh')
    assert set(old) <= set(listed(layout))
    assert '1/1 verified' in run('verify', f'layout://{layout}').err
    moved(host)
    run('process', f'registry://{host}/{NAME}', f'layout://{layout}')
    assert set(old) <= set(listed(layout))  # the receipt that knew who brought them is gone


def test_images_of_other_programs_are_kept_and_not_unverified(host: str, tmp_path: Path) -> None:
    layout = tmp_path / 'layout'
    run('process', f'registry://{host}/{NAME}', f'layout://{layout}')
    theirs = [_put(layout, {'subject': document_at(host, 'v1', 'team/app').descriptor.to_json()}, ''),
              _put(layout, {}, f'sha256-{document_at(host, "v1", "team/app").digest[7:]}.sig')]
    assert '1/1 verified' in run('verify', f'layout://{layout}').err
    moved(host)
    copied(host, layout)
    assert set(theirs) <= set(listed(layout)) and set(theirs) <= blobs(layout)
    assert '1/1 verified' in run('verify', f'layout://{layout}').err
    named = _put(layout, {'subject': document_at(host, 'v1', 'team/app').descriptor.to_json()}, 'theirs:v1')
    result = run('verify', f'layout://{layout}', code=1)  # what has a name is an image, whatever it refers to
    assert '1/2 verified, 1 UNVERIFIED' in result.err and 'theirs:v1' in result.err
    unnamed = _put(layout, {'annotations': {'a': 'b'}}, '')
    assert '1/3 verified, 2 UNVERIFIED' in run('verify', f'layout://{layout}', code=1).err
    assert {named, unnamed} <= blobs(layout)


def test_of_many_images_that_are_replaced_at_once(host: str, tmp_path: Path) -> None:
    layout, names = tmp_path / 'layout', [f'team/app-{number}:v1' for number in range(4)]
    (tmp_path / 'list').write_text(''.join(f'registry://{host}/{name}?referrers=true\n' for name in names))
    for variant in ('one', 'two'):
        for name in names:
            repository = name.partition(':')[0]
            push(host, Settings(), sample_image(name, variant=name + variant), name)
            put_artifact(host, name.encode(), repository=repository,
                         subject=document_at(host, 'v1', repository).descriptor)
        run('process', f'list://{tmp_path}/list', f'layout://{layout}')
    assert len(listed(layout)) == 8
    assert '4/4 verified' in run('verify', f'layout://{layout}').err


def test_one_that_cannot_be_read_is_kept(host: str, tmp_path: Path) -> None:
    layout, old = tmp_path / 'layout', sign(host)
    copied(host, layout)
    (layout / 'blobs/sha256' / old[0].hex).unlink()
    moved(host)
    run('process', f'registry://{host}/{NAME}', f'layout://{layout}')
    assert set(old) <= set(listed(layout))


def _put(layout: Path, fields: dict[str, object], name: str) -> str:
    """Add an artifact to a layout as another program does."""
    index = json.loads((layout / 'index.json').read_bytes())
    empty = Descriptor('application/vnd.oci.empty.v1+json', Digest.of(b'{}'), 2)
    (layout / 'blobs/sha256' / empty.digest.hex).write_bytes(b'{}')
    raw = json.dumps({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json', 'name': name,
                      'config': empty.to_json(), 'layers': [], **fields}).encode()
    digest = Digest.of(raw)
    (layout / 'blobs/sha256' / digest.hex).write_bytes(raw)
    annotations = {'annotations': {'org.opencontainers.image.ref.name': name}} if name else {}
    index['manifests'].append({'mediaType': 'application/vnd.oci.image.manifest.v1+json', 'digest': digest,
                               'size': len(raw), **annotations})
    (layout / 'index.json').write_text(json.dumps(index))
    return digest


def _below(layout: Path, digest: str) -> set[str]:
    document = json.loads((layout / 'blobs/sha256' / digest[7:]).read_bytes())
    return {digest, document['config']['digest'], *(each['digest'] for each in document['layers'])}
