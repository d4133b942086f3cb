"""layout:// beside the programs that know image layouts: each reads what the others wrote, and no digest changes."""
import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import require_service
from tests.functional.images import raw_manifest, skopeo
from tests.services.command_line import CommandLine
from tests.services.oras import oras_program
from tests.services.registry import Registry
from tests.services.tiny_image import put_tiny_image
from tests.services.uploads import Descriptor, put_blob, put_manifest

INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'
MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
EMPTY = 'application/vnd.oci.empty.v1+json'


def digest(data: bytes) -> str:
    return f'sha256:{hashlib.sha256(data).hexdigest()}'


def put_index(registry: Registry, repository: str, tag: str = 'v1') -> Descriptor:
    """Put an index of two platforms, in an unusual layout."""
    entries = [put_tiny_image(registry, repository, architecture=each) for each in ('amd64', 'arm64')]
    raw = json.dumps({'manifests': entries, 'mediaType': INDEX_TYPE, 'schemaVersion': 2}, indent=3).encode()
    return put_manifest(registry, repository, raw, INDEX_TYPE, tag)


def put_sbom(registry: Registry, repository: str, subject: Descriptor) -> Descriptor:
    """Put an artifact that refers to something, and list it where a registry without the API keeps such lists."""
    document = {'schemaVersion': 2, 'mediaType': MANIFEST_TYPE, 'artifactType': 'application/spdx+json',
                'config': put_blob(registry, repository, b'{}', EMPTY),
                'layers': [put_blob(registry, repository, b'packages', 'application/spdx+json')],
                'subject': {name: subject[name] for name in ('mediaType', 'digest', 'size')}}
    put = put_manifest(registry, repository, json.dumps(document).encode(), MANIFEST_TYPE)
    index = {'schemaVersion': 2, 'mediaType': INDEX_TYPE, 'manifests': [
        {**put, 'artifactType': 'application/spdx+json'}]}
    put_manifest(registry, repository, json.dumps(index).encode(), INDEX_TYPE, subject['digest'].replace(':', '-'))
    return put


def manifests(directory: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((directory / 'index.json').read_bytes())['manifests']
    return entries


def blobs(directory: Path) -> set[str]:
    return {path.name for path in (directory / 'blobs/sha256').iterdir()}


def run(*command: str | Path) -> str:
    """Run a program that knows nothing of occystrap; fails the test with what it says."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, f'{command}: {done.stderr}'
    return done.stdout


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Where the layout goes."""
    return tmp_path / 'layout'


@pytest.fixture(autouse=True)
def witness(program: Callable[..., str]) -> None:
    """Skopeo."""
    program('skopeo')


@pytest.fixture(scope='session')
def oras() -> Iterator[Path]:
    """The program oras."""
    with require_service(lambda: nullcontext(oras_program())) as path:
        yield path


def test_the_real_index_there_and_back(real_registry: Registry, registry: Registry, layout: Path,
                                       occystrap: CommandLine) -> None:
    source = f'registry://{real_registry.host}/multi:v1'
    first = occystrap('process', source, f'layout://{layout}:v1', '--platform=all', '--verify=full').assert_success()
    assert first.err.splitlines()[-1].endswith(', 1/1 verified')
    stamps = {path: path.stat().st_mtime_ns for path in layout.rglob('*') if path.is_file()}
    occystrap('process', source, f'layout://{layout}:v1', '--platform=all').assert_success()
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    raw = raw_manifest(real_registry, 'multi:v1')
    assert manifests(layout)[0]['digest'] == digest(raw)
    back = f'registry://{registry.host}/layout/multi:v1'
    occystrap('process', f'layout://{layout}:v1', back, '--platform=all').assert_success()
    assert raw_manifest(registry, 'layout/multi:v1') == raw
    for entry in json.loads(raw)['manifests']:
        assert digest(raw_manifest(registry, f'layout/multi@{entry["digest"]}')) == entry['digest']


def test_one_image_keeps_its_digest(registry: Registry, layout: Path, occystrap: CommandLine) -> None:
    image = put_tiny_image(registry, 'layout/one', 'v1')
    source, name = f'registry://{registry.host}/layout/one:v1', f'{registry.host}/layout/one:v1'
    occystrap('process', source, f'layout://{layout}').assert_success()
    assert manifests(layout)[0]['digest'] == image['digest']
    again = occystrap('-O', 'json', 'process', source, f'layout://{layout}').assert_success().json()
    assert json.dumps(again).count('"verified"') >= 1
    occystrap('process', f'layout://{layout}', f'registry://{registry.host}/layout/back:v1').assert_success()
    assert digest(raw_manifest(registry, 'layout/back:v1')) == image['digest']
    assert json.loads(skopeo('inspect', f'oci:{layout}:{name}'))['Digest'] == image['digest']


def test_skopeo_reads_ours_and_we_read_skopeos(registry: Registry, layout: Path, tmp_path: Path,
                                               occystrap: CommandLine) -> None:
    index = put_index(registry, 'layout/skopeo')
    origin = f'{registry.host}/layout/skopeo:v1'
    occystrap('process', f'registry://{origin}', f'layout://{layout}:v1', '--platform=all').assert_success()
    skopeo('copy', '-q', '--all', '--dest-tls-verify=false', f'oci:{layout}:v1',
           f'docker://{registry.host}/layout/skopeo-ours:v1')
    assert digest(raw_manifest(registry, 'layout/skopeo-ours:v1')) == index['digest']
    skopeo('copy', '-q', '--all', '--src-tls-verify=false', f'docker://{origin}', f'oci:{tmp_path}/theirs:v1')
    assert blobs(tmp_path / 'theirs') == blobs(layout)
    occystrap('process', f'layout://{tmp_path}/theirs:v1', f'registry://{registry.host}/layout/skopeo-theirs:v1',
              '--platform=all', '--verify=full').assert_success()
    assert digest(raw_manifest(registry, 'layout/skopeo-theirs:v1')) == index['digest']
    put_tiny_image(registry, 'layout/skopeo', 'v2')
    skopeo('copy', '-q', '--src-tls-verify=false', f'docker://{registry.host}/layout/skopeo:v2', f'oci:{layout}:v2')
    verified = occystrap('verify', f'layout://{layout}').assert_code(1)
    assert 'v2: the destination has no receipt of this image' in verified.err
    occystrap('verify', f'layout://{layout}:v1', '--full').assert_success()
    occystrap('process', f'registry://{origin}', f'layout://{tmp_path}/theirs:v3').assert_success()
    assert len(manifests(tmp_path / 'theirs')) == len(manifests(layout)) == 2


def test_umoci(program: Callable[..., str], layout: Path, tmp_path: Path, occystrap: CommandLine) -> None:
    umoci, theirs = program('umoci'), tmp_path / 'theirs'
    (tmp_path / 'file').write_text('hello\n')
    run(umoci, 'init', '--layout', theirs)
    run(umoci, 'new', '--image', f'{theirs}:v1')
    run(umoci, 'insert', '--image', f'{theirs}:v1', tmp_path / 'file', '/etc/hello')
    occystrap('process', f'layout://{theirs}:v1', f'layout://{layout}:ours', '--verify=full').assert_success()
    assert manifests(layout)[0]['digest'] == manifests(theirs)[0]['digest']
    assert run(umoci, 'ls', '--layout', layout).split() == ['ours']
    run(umoci, 'unpack', '--rootless', '--image', f'{layout}:ours', tmp_path / 'bundle')
    assert (tmp_path / 'bundle/rootfs/etc/hello').read_text() == 'hello\n'
    run(umoci, 'insert', '--image', f'{layout}:ours', '--tag', 'more', tmp_path / 'file', '/etc/more')
    run(umoci, 'gc', '--layout', layout)
    occystrap('verify', f'layout://{layout}:ours', '--full').assert_success()
    occystrap('process', f'layout://{layout}:more', f'layout://{tmp_path}/copy:more', '--verify=full').assert_success()


def test_buildah(program: Callable[..., str], layout: Path, tmp_path: Path, occystrap: CommandLine) -> None:
    buildah = [program('buildah'), '--root', str(tmp_path / 'root'), '--runroot', str(tmp_path / 'runroot'),
               '--storage-driver', 'vfs']
    (tmp_path / 'file').write_text('hello\n')
    container = run(*buildah, 'from', 'scratch').strip()
    run(*buildah, 'copy', container, tmp_path / 'file', '/etc/hello')
    run(*buildah, 'commit', '-q', container, f'oci:{tmp_path}/theirs:v1')
    occystrap('process', f'layout://{tmp_path}/theirs', f'layout://{layout}:v1', '--verify=full').assert_success()
    assert manifests(layout)[0]['digest'] == manifests(tmp_path / 'theirs')[0]['digest']
    again = run(*buildah, 'from', '-q', f'oci:{layout}:v1').strip()
    assert (Path(run(*buildah, 'mount', again).strip()) / 'etc/hello').read_text() == 'hello\n'
    run(*buildah, 'umount', again)


def test_oras(oras: Path, registry: Registry, layout: Path, tmp_path: Path, occystrap: CommandLine) -> None:
    index = put_index(registry, 'layout/oras')
    sbom = put_sbom(registry, 'layout/oras', index)
    origin, target = f'{registry.host}/layout/oras:v1', f'{registry.host}/layout/oras'
    occystrap('process', f'registry://{origin}?referrers=true', f'layout://{layout}:v1', '--platform=all',
              '--verify=full').assert_success()
    assert [entry['digest'] for entry in manifests(layout)] == [sbom['digest'], index['digest']]
    found = json.loads(run(oras, 'discover', '--oci-layout', f'{layout}:v1', '--format', 'json'))
    assert [each['digest'] for each in found['manifests']] == [sbom['digest']]
    run(oras, 'copy', '-r', '--from-oci-layout', f'{layout}:v1', '--to-plain-http', f'{target}-ours:v1')
    run(oras, 'copy', '-r', '--from-plain-http', origin, '--to-oci-layout', f'{tmp_path}/theirs:v1')
    occystrap('process', f'layout://{tmp_path}/theirs?referrers=true', f'registry://{target}-theirs:v1',
              '--platform=all', '--verify=full').assert_success()
    for name in ('layout/oras-ours', 'layout/oras-theirs'):
        assert digest(raw_manifest(registry, f'{name}:v1')) == index['digest']
        assert digest(raw_manifest(registry, f'{name}@{sbom["digest"]}')) == sbom['digest']
        listed = json.loads(raw_manifest(registry, f'{name}:{index["digest"].replace(":", "-")}'))
        assert [each['digest'] for each in listed['manifests']] == [sbom['digest']]


def test_an_artifact(registry: Registry, layout: Path, occystrap: CommandLine) -> None:
    document = {'schemaVersion': 2, 'mediaType': MANIFEST_TYPE, 'artifactType': 'application/vnd.example.chart',
                'config': put_blob(registry, 'layout/chart', b'{}', EMPTY),
                'layers': [put_blob(registry, 'layout/chart', b'a chart', 'application/vnd.example.chart')]}
    put = put_manifest(registry, 'layout/chart', json.dumps(document).encode(), MANIFEST_TYPE, 'v1')
    occystrap('process', f'registry://{registry.host}/layout/chart:v1', f'layout://{layout}:v1', '--platform=all',
              '--verify=full').assert_success()
    occystrap('verify', f'layout://{layout}', '--full').assert_success()
    occystrap('process', f'layout://{layout}:v1', f'registry://{registry.host}/layout/chart-back:v1',
              '--platform=all').assert_success()
    assert digest(raw_manifest(registry, 'layout/chart-back:v1')) == put['digest']


def test_many_images_in_one_layout(registry: Registry, layout: Path, occystrap: CommandLine) -> None:
    for tag in ('v1', 'v2', 'v3'):
        put_tiny_image(registry, 'layout/many', tag, files={'etc/tag': tag.encode()})
    source = f'registry://{registry.host}/layout/many:v*'
    occystrap('process', source, f'layout://{layout}', '-J', '3').assert_success()
    occystrap('process', source, f'layout://{layout}:{{tag}}', '-J', '3').assert_success()
    names = {entry['annotations']['org.opencontainers.image.ref.name'] for entry in manifests(layout)}
    assert names == {*(f'{registry.host}/layout/many:{tag}' for tag in ('v1', 'v2', 'v3')), 'v1', 'v2', 'v3'}
    assert len(blobs(layout)) == 9
    checked = occystrap('verify', f'layout://{layout}', '--full').assert_success()
    assert checked.err.splitlines()[-1].endswith(', 6/6 verified')
    shown = occystrap('info', f'layout://{layout}').assert_success().out
    assert all(f'{registry.host}/layout/many:{tag}' in shown for tag in ('v1', 'v2', 'v3'))
    line, = occystrap('process', source, f'layout://{layout}:all').assert_code(2).errors
    assert 'cannot take several images: it names one tag' in line


def test_two_images_that_would_have_one_tag_are_refused(registry: Registry, layout: Path, occystrap: CommandLine,
                                                        ) -> None:
    for name in ('layout/same-a', 'layout/same-b'):
        put_tiny_image(registry, name, 'v1')
    result = occystrap('process', f'registry://{registry.host}/layout/same-*:v1', f'layout://{layout}:{{tag}}')
    line, = result.assert_code(2).errors
    assert 'add fields to' in line and not layout.exists()
    occystrap('process', f'registry://{registry.host}/layout/same-*:v1', f'layout://{layout}:{{name}}').assert_success()
    assert len(manifests(layout)) == 2


def test_damage_is_named_and_mended(registry: Registry, layout: Path, occystrap: CommandLine) -> None:
    put_tiny_image(registry, 'layout/damaged', 'v1')
    source = f'registry://{registry.host}/layout/damaged:v1'
    occystrap('process', source, f'layout://{layout}:v1').assert_success()
    moved = layout.with_name('moved')
    layout.rename(moved)
    for path in [path for path in sorted(moved.rglob('*')) if path.is_file() and '.occystrap' not in path.parts]:
        whole = path.read_bytes()
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        failed = occystrap('verify', f'layout://{moved}:v1', '--full').assert_code(1)
        assert {'index.json': 'entry v1', 'oci-layout': 'layout oci-layout'}.get(path.name, path.name) in failed.err
        path.unlink()
        assert 'FAILED' in occystrap('verify', f'layout://{moved}').assert_code(1).err
        if path.name == 'index.json':  # which may have held images of other programs
            refused = occystrap('process', source, f'layout://{moved}:v1').assert_code(1)
            assert '--rebuild-index' in refused.err and not path.exists()
        occystrap('process', source, f'layout://{moved}:v1', '--rebuild-index').assert_success()
        assert path.read_bytes() == whole
    occystrap('verify', f'layout://{moved}:v1', '--full').assert_success()
    assert f'layout://{moved}:v2 keeps no receipt' in occystrap('verify', f'layout://{moved}:v2').assert_code(2).err


def test_a_layout_is_looked_into_like_any_source(registry: Registry, layout: Path, occystrap: CommandLine) -> None:
    put_tiny_image(registry, 'layout/looked', 'v1', files={'etc/hello.conf': b'hello\n'})
    occystrap('process', f'registry://{registry.host}/layout/looked:v1', f'layout://{layout}:v1').assert_success()
    assert 'etc/hello.conf' in occystrap('search', f'layout://{layout}:v1', '*.conf').assert_success().out
    described = occystrap('-O', 'json', 'info', f'layout://{layout}').assert_success().out
    assert manifests(layout)[0]['digest'] in described
    occystrap('check', f'layout://{layout}').assert_success()
    layer = json.loads((layout / 'blobs/sha256' / manifests(layout)[0]['digest'][7:]).read_bytes())['layers'][0]
    (layout / 'blobs/sha256' / layer['digest'][7:]).write_bytes(b'')
    assert 'layer-size' in occystrap('check', f'layout://{layout}', '--fast').assert_code(1).out


def test_a_filtered_image_and_one_from_a_directory(registry: Registry, layout: Path, tmp_path: Path,
                                                   occystrap: CommandLine) -> None:
    put_tiny_image(registry, 'layout/filtered', 'v1')
    source = f'registry://{registry.host}/layout/filtered:v1'
    occystrap('process', source, f'layout://{layout}:plain', '-f', 'normalize-timestamps:ts=1').assert_success()
    occystrap('process', source, f'dir://{tmp_path}/directory').assert_success()
    occystrap('process', f'dir://{tmp_path}/directory', f'layout://{layout}:zstd?compression=zstd').assert_success()
    for tag in ('plain', 'zstd'):
        skopeo('copy', '-q', f'oci:{layout}:{tag}', f'dir:{tmp_path}/{tag}')
    occystrap('verify', f'layout://{layout}', '--full').assert_success()
