"""Several runs in one directory in parallel, runs that are killed, and disks that are full."""
import os
import random
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import Cancelled, OccystrapError, OutputError, Receipt, Settings, VerifyLevel
from occystrap_core.testing.sample import sample_image, sample_layers
from tests.unit.dir.directories import content, findings, layer_files, output, read_json, write
from tests.unit.dir.test_rerun import Whole, breaking


def in_processes(*works: Callable[[], object]) -> list[int]:
    """Runs functions in parallel, each in a process of its own; returns 0 for each that did not raise."""
    for tar in sample_layers():
        assert tar  # made before the fork, so that all start together
    children = []
    for work in works:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


CHANGES = {'os.rename', 'os.remove', 'os.rmdir', 'os.mkdir', 'os.link', 'os.symlink', 'os.truncate', 'os.chmod'}


def kills() -> Iterator[int]:
    """Yield the changes of files before which to kill: every third, from one of the first three on; all on request."""
    step = 1 if os.environ.get('OCCYSTRAP_TEST_ALL') == '1' else 3
    return count(random.randrange(step), step)


def is_killed_before_change(number: int, work: Callable[[], object]) -> bool:
    """Run a function in a process that is killed before its change of that number of a file or directory, if any."""
    changes = count()

    def kill(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == 'open' and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
        if (writes or event in CHANGES) and next(changes) == number:
            os.kill(os.getpid(), signal.SIGKILL)
    child = os.fork()
    if child == 0:
        sys.addaudithook(kill)
        try:
            work()
        finally:
            os._exit(0 if sys.exception() is None else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


def kept_receipts(directory: Path) -> list[Receipt]:
    return [Receipt.from_json(path.read_text()) for path in sorted((directory / '.occystrap/receipts').glob('*.json'))]


def test_many_processes_fill_one_catalog(tmp_path: Path) -> None:
    images = [sample_image(f'app{number}:v{tag}', variant=str(number)) for number in range(6) for tag in range(3)]

    def writer(part: int) -> Callable[[], object]:
        return lambda: [write(tmp_path / 'x', image, unique=True) for image in images[part::4]]
    assert in_processes(*map(writer, range(4))) == [0, 0, 0, 0]
    assert read_json(tmp_path / 'x' / 'catalog.json') == {
        f'app{number}': {f'v{tag}': f'manifest-app{number}-v{tag}.json' for tag in range(3)} for number in range(6)}
    assert [findings(receipt, VerifyLevel.FULL) for receipt in kept_receipts(tmp_path / 'x')] == [[]] * 18
    assert len(layer_files(tmp_path / 'x')) == 8
    assert sorted(os.listdir(tmp_path / 'x/.occystrap')) == ['active', 'lock', 'receipts']


def test_runs_that_fail_do_no_harm_to_those_beside_them(tmp_path: Path) -> None:
    def succeed(part: int) -> Callable[[], object]:
        return lambda: [write(tmp_path / 'x', sample_image(f'good{part}:v{tag}', variant=str(tag)), unique=True)
                        for tag in range(8)]

    def fail() -> None:
        for tag in range(12):
            with pytest.raises(OccystrapError):
                write(tmp_path / 'x', breaking(sample_image('bad:v1', variant=f'bad{tag}')), unique=True)
    assert in_processes(succeed(1), fail, succeed(2), fail) == [0, 0, 0, 0]
    assert set(read_json(tmp_path / 'x' / 'catalog.json')) == {'good1', 'good2'}
    assert [findings(receipt, VerifyLevel.FULL) for receipt in kept_receipts(tmp_path / 'x')] == [[]] * 16
    assert len(layer_files(tmp_path / 'x')) == 10
    assert sorted(os.listdir(tmp_path / 'x/.occystrap')) == ['active', 'lock', 'receipts']


def test_one_image_from_many_processes_is_there_once_and_whole(tmp_path: Path) -> None:
    assert in_processes(*[lambda: write(tmp_path / 'x')] * 5) == [0] * 5
    (receipt,) = kept_receipts(tmp_path / 'x')
    assert findings(receipt, VerifyLevel.FULL) == [] and len(layer_files(tmp_path / 'x')) == 3


@pytest.mark.parametrize('unique', [False, True])
def test_after_being_killed_at_any_moment_a_rerun_gives_the_whole_image(tmp_path: Path, unique: bool) -> None:
    old, new = sample_image(variant='old'), sample_image(variant='new')
    write(tmp_path / 'expected', old, unique)
    write(tmp_path / 'expected', new, unique)
    expected = {name: data for name, data in content(tmp_path / 'expected').items() if 'receipts' not in name}
    write(tmp_path / 'x', old, unique)
    for number in kills():
        if not is_killed_before_change(number, lambda: write(tmp_path / 'x', new, unique)):
            break
        for receipt in kept_receipts(tmp_path / 'x'):
            assert findings(receipt, VerifyLevel.FULL) == []
        receipt = write(tmp_path / 'x', new, unique)
        assert findings(receipt, VerifyLevel.FULL) == []
        assert {name: data for name, data in content(tmp_path / 'x').items() if 'receipts' not in name} == expected
        write(tmp_path / 'x', old, unique)
    assert number > 20, 'the kills were before changes'


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Lets no file grow beyond `size` bytes, as `ulimit -f` does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize('size', [0, 300, 20000])
def test_a_limit_on_file_sizes_is_one_clear_line_and_leaves_the_old_image(tmp_path: Path, size: int) -> None:
    receipt = write(tmp_path / 'x', sample_image('one:v1', variant='one'))
    before = content(tmp_path)
    (tmp_path / 'x' / layer_files(tmp_path / 'x')[-1].parent.name / 'layer.tar').touch()
    with largest_file(size), pytest.raises(OutputError) as raised:
        write(tmp_path / 'x', sample_image('one:v2', variant='two' * 20000))
    assert str(raised.value) == (
        f'cannot write to {tmp_path}/x: File too large: raise the limit on file sizes (ulimit -f)')
    assert content(tmp_path) == before and findings(receipt, VerifyLevel.FULL) == []


def test_a_full_disk_is_one_clear_line_and_leaves_the_old_image(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = write(tmp_path, sample_image('one:v1', variant='one'))
    before = content(tmp_path)

    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr('occystrap_core.files.durability.os.write', full)
    with pytest.raises(OutputError, match='No space left on device: free some space or choose another place'):
        write(tmp_path, sample_image('one:v2', variant='two'))
    assert content(tmp_path) == before and findings(receipt, VerifyLevel.FULL) == []


def test_giving_up_while_a_layer_is_written_leaves_nothing(tmp_path: Path) -> None:
    image, reading, go_on = sample_image(), threading.Event(), threading.Event()
    writer = output(tmp_path / 'x', settings=Settings())
    writer.prepare(image)
    layer = Whole(image.layers[0])
    opened = layer.open()

    def waiting(count: int) -> None:
        reading.set()
        go_on.wait(10)
    opened.observe(waiting)
    layer.open = lambda: opened
    raised: list[BaseException] = []

    def work() -> None:
        try:
            writer.write_layer(layer)
        except BaseException as error:
            raised.append(error)
    thread = threading.Thread(target=work)
    thread.start()
    reading.wait(10)
    writer.abort()
    assert os.listdir(tmp_path) == []
    go_on.set()
    thread.join(10)
    assert isinstance(raised[0], Cancelled) and os.listdir(tmp_path) == []
