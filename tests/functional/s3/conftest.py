"""Buckets, and the command line that reaches them."""
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.services.localstack import ObjectStorage

Run = Callable[..., CommandResult]


@pytest.fixture
def bucket(object_storage: ObjectStorage, request: pytest.FixtureRequest) -> str:
    """An empty bucket of the test's own."""
    name = ''.join(each if each.isalnum() else '-' for each in request.node.name.lower())
    return object_storage.bucket(f'b-{name}'[:50].rstrip('-') + f'-{abs(hash(request.node.nodeid)) % 10 ** 8}')


@pytest.fixture
def occystrap_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line in this process, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    return run_here
