"""The state directory of a destination: errors of leaving it are ignored."""
import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from occystrap_core.errors import Cancelled
from occystrap_core.oci import Digest, blob_name
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.kept_blobs import LEAST
from occystrap_dir.workspace.workspace import Workspace


def test_an_image_that_is_there_does_not_fail_when_locks_cannot_be_closed(tmp_path: Path,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, close = Workspace(str(tmp_path / 'out'), sync=False), os.close
    workspace.enter()

    def failing(descriptor: int) -> None:
        close(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    with monkeypatch.context() as patched:
        patched.setattr(os, 'close', failing)
        workspace.leave(clean=True, sweep=lambda: None)


DIGEST = Digest.of(b'some blob')


def test_a_file_taken_over_by_another_image_is_not_removed(tmp_path: Path) -> None:
    first, second = (Workspace(str(tmp_path / 'out'), sync=False, final=blob_name) for _ in range(2))
    for each in (first, second):
        each.enter()
    with suppress(Cancelled), first.growing(DIGEST) as file:
        assert file
        file.write(bytes(LEAST))
        raise Cancelled('interrupted')
    with second.growing(DIGEST) as file:
        assert file and file.available == LEAST
        first.give_up(lambda: None)
        second.move(file.name, 'whole')
    assert (tmp_path / 'out/whole').stat().st_size == LEAST


def test_a_file_still_being_written_is_removed_when_its_thread_ends(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / 'out'), sync=False, final=blob_name)
    workspace.enter()
    with suppress(Cancelled), workspace.growing(DIGEST) as file:
        assert file
        file.write(bytes(LEAST))
        workspace.give_up(lambda: None)
        raise Cancelled('interrupted')
    assert not [*tmp_path.rglob('sha256-*')]


class Broken(BaseException):
    """A signal's exception."""


@pytest.mark.parametrize('clean', [True, False])
@pytest.mark.parametrize('is_empty', [True, False])
def test_a_leave_that_is_interrupted_anywhere_is_finished_by_the_next(is_empty: bool, clean: bool, tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    points, ended = 0, False
    while not ended:
        root = tmp_path / str(points)
        workspace = Workspace(str(root), sync=False)
        workspace.enter()
        workspace.write(b'half of something')
        if not is_empty:
            (root / '.occystrap/receipts/kept.json').write_text('{}')
        calls = 0

        def interrupted(place: Beneath, parts: list[str], call: Callable[..., int] = Beneath._open) -> int:
            nonlocal calls
            calls += 1
            if calls == points + 1:
                raise Broken
            return call(place, parts)
        with monkeypatch.context() as patched:
            patched.setattr(Beneath, '_open', interrupted)
            try:
                workspace.leave(clean, sweep=lambda: None)
                ended = True
            except Broken:
                points += 1
        if not ended:
            workspace.give_up(sweep=lambda: None)
        left = sorted(str(path.relative_to(root)) for path in root.rglob('*')) if root.exists() else []
        assert left == ([] if is_empty else ['.occystrap', '.occystrap/active', '.occystrap/receipts',
                                             '.occystrap/receipts/kept.json']), f'interrupted at {points}'
    assert points > 5


@contextmanager
def beside(call: Callable[[], None]) -> Iterator[threading.Thread]:
    """A call on another thread, which must end by itself after the block."""
    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(10)
        assert not thread.is_alive()


def test_an_abort_waits_for_a_leave_that_removes_things(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / 'out'), sync=False)
    workspace.enter()
    sweeping, swept = threading.Event(), threading.Event()

    def sweep() -> None:
        sweeping.set()
        assert swept.wait(10)
    with beside(lambda: workspace.leave(False, sweep)):
        assert sweeping.wait(10)
        with beside(lambda: workspace.give_up(lambda: None)) as aborting:
            aborting.join(0.2)
            assert aborting.is_alive(), 'the process would end in the middle of the removal'
            swept.set()
    assert not (tmp_path / 'out').exists()


def test_an_abort_comes_before_or_after_changes_that_belong_together(tmp_path: Path) -> None:
    root = tmp_path / 'out'
    workspace = Workspace(str(root), sync=False)
    workspace.enter()
    names = {workspace.write(name.encode()): name for name in ('one', 'two')}
    with ExitStack() as after:
        with workspace.undisturbed():
            aborting = after.enter_context(beside(lambda: workspace.give_up(lambda: None)))
            aborting.join(0.2)
            workspace.move_all(names)
            assert aborting.is_alive()
    assert sorted(path.name for path in root.iterdir()) == ['one', 'two']
    with pytest.raises(Cancelled), workspace.undisturbed():
        raise AssertionError('the run has left')
