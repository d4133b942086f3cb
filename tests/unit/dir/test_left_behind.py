"""Files that a writer cannot remove, or does not know the use of, are reported to the user."""
import errno
import io
from pathlib import Path

import pytest

from occystrap_core import Image, Settings
from occystrap_core.errors import DigestMismatch
from occystrap_core.testing.sample import sample_image
from occystrap_dir.directory.rebuilt_catalog import rebuilt_catalog
from occystrap_dir.layout.recovery import rebuilt_index
from occystrap_dir.workspace import workspace
from occystrap_dir.workspace.beneath import Beneath
from tests.hostile.in_process import run_here
from tests.unit.dir.directories import copy, output, read_json, write_several
from tests.unit.dir.layout import layouts
from tests.unit.tar.archives import docker_members, write_tar


def failing(image: Image) -> Image:
    """Return the image with a layer that is not what its digest says."""
    image.layers[2]._opener = lambda: io.BytesIO(b'other')  # type: ignore[attr-defined]
    return image


def refuse(place: Beneath, name: str) -> None:
    """Stand for what removes something, where that is not allowed."""
    raise OSError(errno.EACCES, 'Permission denied')


def test_a_directory_with_a_manifest_that_cannot_be_read_keeps_its_orphans(tmp_path: Path) -> None:
    write_several(tmp_path, 'one:v1', 'two:v1')
    (tmp_path / 'manifest-one-v1.json').write_text('[')
    writer = output(tmp_path, unique=True)
    copy(sample_image('two:v1', variant='other'), writer, Settings(sync=False))
    note, = writer.notes
    assert note.startswith(f'{tmp_path} keeps files that no image uses any more') and 'manifest-one-v1.json' in note


@pytest.mark.parametrize(('damaged', 'words'), [
    ('one:v1', 'keeps files that no image uses any more'), ('two:v1', 'keeps the blobs of what was replaced')])
def test_a_layout_with_a_manifest_that_cannot_be_read_keeps_its_blobs(damaged: str, words: str, tmp_path: Path) -> None:
    for name in ('one:v1', 'two:v1'):
        layouts.write(tmp_path, sample_image(name, variant=name))
    digest = next(each['digest'] for each in layouts.index_of(tmp_path)['manifests']
                  if damaged in str(each['annotations']))
    (tmp_path / 'blobs/sha256' / digest.removeprefix('sha256:')).write_text('[')
    writer = layouts.output(tmp_path)
    copy(sample_image('two:v1', variant='other'), writer, Settings(sync=False))  # type: ignore[arg-type]
    assert [note for note in writer.notes if words in note]


@pytest.mark.parametrize('scheme', ['dir', 'layout', 'mounts'])
def test_leftovers_of_a_success_are_a_note(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tar(tmp_path / 'image.tar', docker_members())
    monkeypatch.setattr(workspace, 'remove_tree', refuse)
    result = run_here('process', f'tar://{tmp_path}/image.tar', f'{scheme}://{tmp_path}/out').assert_code(0)
    assert f'{tmp_path}/out keeps temporary files: Permission denied; the next run tries again' in result.err


def test_leftovers_of_a_failure_are_reported_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_several(tmp_path, 'one:v1')
    writer = output(tmp_path, unique=True)
    monkeypatch.setattr(Beneath, 'unlink', refuse)
    with pytest.raises(DigestMismatch, match='could not be removed: .* keeps temporary files: Permission denied'):
        copy(failing(sample_image('two:v1', variant='two')), writer, Settings(sync=False))


def test_a_rebuilt_catalog_reports_what_it_lost(tmp_path: Path) -> None:
    write_several(tmp_path, 'one:v1', 'two:v1')
    for name in ('.occystrap/receipts/manifest-one-v1.json', 'manifest-one-v1.json'):
        (tmp_path / name).write_text('[')
    catalog, note = rebuilt_catalog(str(tmp_path))
    assert [str(each) for each in catalog] == ['two:v1']
    assert note.endswith('left out, as their names are unknown: manifest-one-v1.json')


def test_a_rebuilt_index_reports_what_it_lost(tmp_path: Path) -> None:
    for name in ('one:v1', 'two:v1', 'three:v1'):
        layouts.write(tmp_path, sample_image(name, variant=name))
    receipts = sorted((tmp_path / '.occystrap/receipts').iterdir())
    (tmp_path / 'blobs/sha256' / read_json(receipts[0])['manifest_digest'].removeprefix('sha256:')).write_text('[')
    receipts[1].write_text('[')
    note, = rebuilt_index(str(tmp_path), ())[1]
    lost = f'{receipts[1].name}, {read_json(receipts[0])["reference"]}'
    assert f'lost, as receipt or manifest cannot be read: {lost}' in note


def test_a_rebuilt_list_of_mounts_reports_what_it_lost(tmp_path: Path) -> None:
    for name in ('one:v1', 'two:v1'):
        write_tar(tmp_path / 'image.tar', docker_members(tags=(name,)))
        run_here('process', f'tar://{tmp_path}/image.tar', f'mounts://{tmp_path}/out').assert_code(0)
    receipt, _ = sorted((tmp_path / 'out/.occystrap/receipts').iterdir())
    receipt.write_text('[')
    (tmp_path / 'out/mount.json').unlink()
    result = run_here('process', f'tar://{tmp_path}/image.tar', f'mounts://{tmp_path}/out', '--rebuild-index')
    assert f'these cannot be read: {receipt.name}' in result.assert_code(0).err
