"""Images beside each other: mounts:// shares layers, dir:// keeps what was unpacked current, bundles are replaced."""
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from occystrap_core import OutputError, Settings
from occystrap_core.settings import VerifyLevel
from occystrap_core.testing.sample import sample_image
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.locks import held
from tests.unit.tar.archives import copy, verify, write


def layers(mounts: Path) -> dict[str, int]:
    """Return the directories of layers, with their inodes, which change when they are made again."""
    return {path.name: path.stat().st_ino for path in (mounts / 'layers').iterdir()}


def test_images_share_layers(tmp_path: Path) -> None:
    mounts = tmp_path / 'mounts'
    first = write(sample_image('sample:v1'), f'mounts://{mounts}')
    before = layers(mounts)
    second = write(sample_image('sample:v2', variant='another'), f'mounts://{mounts}')
    assert before.items() < layers(mounts).items() and len(layers(mounts)) == 4
    assert not verify(first).findings and not verify(second).findings
    assert list(json.loads((mounts / 'mount.json').read_text())) == ['sample:v1', 'sample:v2']


def test_the_layers_of_a_replaced_image_go(tmp_path: Path) -> None:
    mounts = tmp_path / 'mounts'
    write(sample_image('sample:v1'), f'mounts://{mounts}')
    receipt = write(sample_image('sample:v1', variant='another'), f'mounts://{mounts}')
    assert len(layers(mounts)) == 3 and not verify(receipt).findings
    assert {path.name for path in (mounts / '.occystrap').iterdir()} == {
        'active', 'empty', 'lock', 'receipts', 'trees', 'unpacking'}


def test_a_rerun_unpacks_nothing(tmp_path: Path) -> None:
    mounts = tmp_path / 'mounts'
    receipt = write(sample_image(), f'mounts://{mounts}')
    before = layers(mounts)
    again = write(sample_image(), f'mounts://{mounts}', Settings(sync=False, verify=VerifyLevel.FULL))
    assert layers(mounts) == before and again.of_kind('files') == receipt.of_kind('files')


def test_trees_of_a_killed_run_are_removed_by_runs_that_unpack_nothing(tmp_path: Path) -> None:
    mounts = tmp_path / 'mounts'
    write(sample_image(), f'mounts://{mounts}')
    (mounts / '.occystrap/unpacking/.layer.occystrap-0123456789abcdef/etc').mkdir(parents=True)
    (mounts / '.occystrap/temporary').mkdir()
    (mounts / '.occystrap/temporary/0.run').touch()
    write(sample_image(), f'mounts://{mounts}')
    assert list((mounts / '.occystrap/unpacking').iterdir()) == []


def test_a_verifier_waits_while_a_run_changes_the_list_and_the_script(tmp_path: Path) -> None:
    mounts = tmp_path / 'mounts'
    receipt = write(sample_image(), f'mounts://{mounts}')
    script = (mounts / 'mount.sh').read_bytes()
    with ThreadPoolExecutor() as threads, held(Beneath(str(mounts)), '.occystrap/lock'):
        (mounts / 'mount.sh').write_bytes(b'of another time')
        found = threads.submit(verify, receipt)
        time.sleep(0.3)
        (mounts / 'mount.sh').write_bytes(script)
        assert not found.done()
        os.unlink(f'{mounts}/.occystrap/lock')  # as the last run does which leaves nothing behind
    assert not found.result().findings


@pytest.mark.parametrize('unique', ['', '&unique_names=true'])
def test_an_expanded_directory_follows_its_manifest(unique: str, tmp_path: Path) -> None:
    directory = tmp_path / 'directory'
    receipt = write(sample_image(), f'dir://{directory}?expand=true{unique}')
    tree = directory / receipt.of_kind('manifest')[0].locator.removesuffix('.json')
    assert (tree / 'etc/hostname').read_text() == 'sample\n' and not (tree / 'etc/old.conf').exists()
    assert not verify(receipt).findings
    again = write(sample_image(), f'dir://{directory}?expand=true{unique}')
    assert not verify(again).findings and not verify(receipt).findings
    (tree / 'etc/hostname').unlink()
    assert any('etc/hostname: is missing' in str(found) for found in verify(receipt, VerifyLevel.FAST).findings)
    plain = write(sample_image(), f'dir://{directory}?unique_names={"true" if unique else "false"}')
    assert not tree.exists() and not verify(plain).findings  # unpacked for no manifest that is there now


def test_a_bundle_takes_the_place_of_another_but_of_nothing_else(tmp_path: Path) -> None:
    write(sample_image(), f'oci://{tmp_path}/out')
    receipt = write(sample_image(variant='another'), f'oci://{tmp_path}/out')
    assert not verify(receipt).findings
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other/mine').write_text('mine')
    with pytest.raises(OutputError, match='contains other files'):
        write(sample_image(), f'oci://{tmp_path}/other')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['other', 'out']


def test_round_trips_through_an_expanded_directory(tmp_path: Path) -> None:
    first = write(sample_image(), f'dir://{tmp_path}/directory?expand=true')
    assert copy(f'dir://{tmp_path}/directory', f'oci://{tmp_path}/bundle').image_id == first.image_id
