"""Files that a run writes besides images: each its own, and none within an image."""
import os
from pathlib import Path

import pytest

from occystrap_core import Settings, UsageError, VerifyLevel
from occystrap_core.destinations.side_files import KeptPath, SideFiles
from occystrap_core.pipeline.run import Run
from occystrap_core.receipts.receipt_file import ReceiptFile
from occystrap_core.report.progress import Progress
from tests.unit.core.pipeline.memory import memory_plugins, offer


def test_no_file_is_none() -> None:
    files = SideFiles()
    files.add('--receipt', None)
    assert not files
    files.add('--receipt', '/tmp/receipt')
    assert files


@pytest.mark.parametrize('path', ['/dev/null', 'pipe', 'directory'])
def test_devices_and_pipes_are_not_files_to_protect(path: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'directory').mkdir()
    files = SideFiles()
    files.add('--receipt', str(tmp_path / path))
    files.add('--layer-cache', str(tmp_path / path))
    assert not files


@pytest.mark.parametrize('exists', [False, True])
@pytest.mark.parametrize('name', ['file', './file', 'link', 'directory/../file'])
def test_two_options_may_not_name_one_file(name: str, exists: bool, tmp_path: Path) -> None:
    (tmp_path / 'directory').mkdir()
    (tmp_path / 'link').symlink_to('file')
    if exists:
        (tmp_path / 'file').touch()
    files = SideFiles()
    files.add('--receipt', str(tmp_path / 'file'))
    files.add('--receipt', str(tmp_path / name))  # the same option again
    with pytest.raises(UsageError,
                       match=f'file= and --receipt both write to .*{name.rpartition("/")[2]}: choose two files'):
        files.add('file=', str(tmp_path / name))


@pytest.mark.parametrize(('within', 'place', 'is_refused'), [
    (False, 'a/b/file', True), (False, 'a/b', True), (False, 'a', True), (False, 'c', False), (False, 'a/b/file/x',
                                                                                               False),
    (True, 'a/b/file', True), (True, 'a/b', False), (True, 'a', False)])
def test_a_file_may_not_be_an_image_and_some_may_not_be_within_one(within: bool, place: str, is_refused: bool,
                                                                   tmp_path: Path) -> None:
    files = SideFiles()
    files.add('--receipt', str(tmp_path / 'a/b/file'), within)
    if is_refused:
        message = (f'--receipt .*/a/b/file is, or lies within, a source or destination of this run, '
                   f'{tmp_path}/{place}: choose a file elsewhere')
        with pytest.raises(UsageError, match=message):
            files.refuse_places(map(KeptPath, ['', str(tmp_path / 'other'), str(tmp_path / place)]))
    else:
        files.refuse_places(map(KeptPath, ['', str(tmp_path / 'other'), str(tmp_path / place)]))


def test_by_default_a_file_may_not_be_within_an_image(tmp_path: Path) -> None:
    files = SideFiles()
    files.add('file=', str(tmp_path / 'a/file'))
    with pytest.raises(UsageError, match='lies within'):
        files.refuse_places([KeptPath(str(tmp_path / 'a'))])


def test_every_directory_up_to_the_root_is_checked() -> None:
    files = SideFiles()
    files.add('file=', '/a/b')
    with pytest.raises(UsageError, match='run, /: choose'):
        files.refuse_places([KeptPath('/')])


def run_of(receipts: ReceiptFile | None, cache: str | None) -> Run:
    return Run(memory_plugins(), Settings(), VerifyLevel.FAST, Progress(), receipts, layer_cache=cache)


def test_receipts_and_layer_cache_are_two_files(tmp_path: Path) -> None:
    receipts = ReceiptFile(str(tmp_path / 'file'))
    with pytest.raises(UsageError, match='--layer-cache and --receipt both write to'):
        run_of(receipts, str(tmp_path / 'file')).process(offer('one'), 'memory://shelf')
    receipts.close()


@pytest.mark.parametrize('option', ['receipt', 'cache'])
def test_they_may_not_be_what_is_read_or_written(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / 'shelf')
    receipts = ReceiptFile(path) if option == 'receipt' else None
    with pytest.raises(UsageError, match='shelf is, or lies within, a source or destination of this run'):
        run_of(receipts, path if option == 'cache' else None).process(offer('one'), 'memory://shelf')
    if receipts:
        receipts.close()


@pytest.mark.parametrize('option', ['receipt', 'cache'])
def test_they_may_be_within_a_destination(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'shelf').mkdir()
    path = str(tmp_path / 'shelf/file')
    receipts = ReceiptFile(path) if option == 'receipt' else None
    assert run_of(receipts, path if option == 'cache' else None).process(offer('one'), 'memory://shelf').succeeded
    if receipts:
        receipts.close()
