"""An unexpected exception names the plugin in whose code it was raised."""
import threading
from pathlib import Path
from typing import Any, NoReturn

import pytest

import occystrap_tar.new_archive.docker_output
from occystrap_core import Image, Settings, VerifyLevel
from occystrap_core.pipeline.dry_run import plan_copies
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.pipeline.run import Run
from occystrap_core.plugins.blame import unexpected
from occystrap_core.report.progress import Progress
from occystrap_core.testing.sample import sample_image
from tests.hostile.in_process import run_here
from tests.unit.core.pipeline.memory import IMAGES, SHELVES, MemoryInput, MemoryOutput, Without, memory_plugins, offer
from tests.unit.tar.archives import docker_members, write_tar

HERE = 'tests.unit.core.pipeline.test_blame'
WHAT = "AttributeError: 'NoneType' object has no attribute 'missing'"
NAMED = f'plugin occystrap-memory (memory.plugin) failed: {WHAT}; report it to its author'


class Output(MemoryOutput):
    """A writer, one of whose methods has a mistake."""


class Input(MemoryInput):
    """An input, one of whose methods has a mistake."""


def broken(*arguments: object) -> NoReturn:
    """Stand for a method that has a mistake."""
    nothing: Any = None
    nothing.missing()
    raise AssertionError


@pytest.fixture(autouse=True)
def nothing_there() -> None:
    SHELVES.clear()
    IMAGES.clear()


def failures_of(*names: str, filters: tuple[str, ...] = ()) -> set[str]:
    """Return the failures of several images, or the error of the only one."""
    plugins = memory_plugins(f'{HERE}:Output', f'{HERE}:Input')
    source = f'memory://{",".join(names)}'
    try:
        run = Run(plugins, Settings(), VerifyLevel.FAST, Progress())
        return {image.failure for image in run.process(source, 'memory://to-{name}', filters).images}
    except (AttributeError, TypeError) as error:
        return {unexpected(error, plugins)}


@pytest.mark.parametrize('names', [('one',), ('one', 'two')])
@pytest.mark.parametrize('method', ['prepare', 'has_layer', 'write_layer', 'finalize'])
def test_a_writer_that_fails(method: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    offer(*names)
    monkeypatch.setattr(Output, method, broken)
    assert failures_of(*names) == {NAMED}


@pytest.mark.parametrize('method', ['__init__', 'place'])
def test_a_writer_that_fails_before_anything_is_copied(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offer('one')
    monkeypatch.setattr(Output, method, broken)
    assert failures_of('one') == {NAMED}


@pytest.mark.parametrize('method', ['__init__', 'references', 'location_of', 'open'])
def test_an_input_that_fails(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offer('one')
    monkeypatch.setattr(Input, method, broken)
    assert failures_of('one') == {NAMED}


def test_a_dry_run_names_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    offer('one')
    monkeypatch.setattr(Input, 'open', broken)
    plugins = memory_plugins(f'{HERE}:Output', f'{HERE}:Input')
    assert [each.failure for each in plan_copies(plugins, Settings(), 'memory://one', 'memory://to', ())] == [NAMED]


def test_a_filter_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    offer('one')
    monkeypatch.setattr(Without, 'entry', broken)
    assert failures_of('one', filters=('without:name=x',)) == {NAMED}


def test_a_source_of_a_layer_that_fails() -> None:
    def unreadable(name: str) -> Image:
        image = sample_image(name)
        for layer in image.layers:
            layer._opener = broken  # type: ignore[attr-defined]
        return image
    offer('one', image=unreadable)
    assert failures_of('one') == {NAMED}


def test_a_mistake_of_the_core_is_no_plugins_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    offer('one')
    monkeypatch.setattr(ImageCopy, '_put', None)
    text, = failures_of('one')
    assert text == "internal error: TypeError: 'NoneType' object is not callable"


def test_the_command_line_says_it_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tar(tmp_path / 'image.tar', docker_members())
    monkeypatch.setattr(occystrap_tar.new_archive.docker_output.DockerArchiveOutput, '_spare_others', None)
    result = run_here('process', f'tar://{tmp_path}/image.tar', f'tar://{tmp_path}/copy.tar')
    assert result.code == 1 and result.errors == [
        "occystrap: error: plugin occystrap-tar (occystrap_tar.plugin) failed: TypeError: 'NoneType' object is not "
        'callable; report it to its author, --debug shows where']


@pytest.mark.parametrize('error', [MemoryError(), RuntimeError("can't start new thread")])
def test_that_memory_or_threads_ran_out_is_nobody_s_fault(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out(*arguments: object) -> NoReturn:
        raise error
    offer('one', 'two')
    monkeypatch.setattr(Input, 'open', run_out)
    failure, = failures_of('one', 'two')
    assert failure.startswith('out of memory, or of threads: give lower -j and -J, or permit more (ulimit -v')


def test_no_thread_is_permitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")
    write_tar(tmp_path / 'a.tar', docker_members())
    monkeypatch.setattr(threading.Thread, 'start', refuse)
    result = run_here('process', f'tar://{tmp_path}/a.tar', f'layout://{tmp_path}/out')
    result.assert_code(1)
    assert result.err.startswith('occystrap: error: out of memory, or of threads: give lower -j and -J')
    assert len(result.errors) == 1 and not (tmp_path / 'out').exists()
