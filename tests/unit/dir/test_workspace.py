"""The state directory of a destination: leaving it fails nobody."""
import errno
import os
from pathlib import Path

import pytest

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
