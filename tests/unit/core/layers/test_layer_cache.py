"""Results of filters and compression: remembered, and used only while the destination still has them."""
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import OutputError, Settings, VerifyLevel
from occystrap_core.layers.layer_cache import FileCache, Result, RunCache
from occystrap_core.oci import Descriptor, Digest
from occystrap_core.pipeline.run import Run
from occystrap_core.report.progress import Progress
from occystrap_core.report.run_report import RunReport
from occystrap_core.testing.sample import sample_image
from tests.unit.core.pipeline.memory import IMAGES, SHELVES, memory_plugins, offer

ONE, TWO = Digest.of(b'one'), Digest.of(b'two')
RESULT = Result(TWO, Descriptor('application/vnd.oci.image.layer.v1.tar+gzip', ONE, 7))


@pytest.fixture(autouse=True)
def nothing_there() -> None:
    SHELVES.clear()
    IMAGES.clear()


def test_cached_layers_are_found_by_another_process(tmp_path: Path) -> None:
    first, second = FileCache(str(tmp_path / 'cache')), FileCache(str(tmp_path / 'cache'))
    assert first.find(ONE, 'recipe') is None
    first.keep(ONE, 'recipe', RESULT)
    first.keep(TWO, 'recipe', Result(ONE))
    assert second.find(ONE, 'recipe') == RESULT and second.find(TWO, 'recipe') == Result(ONE)
    assert second.find(ONE, 'another') is None
    second.keep(ONE, 'recipe', Result(ONE))
    assert first.find(ONE, 'recipe') == Result(ONE)


def test_many_threads_and_connections_in_parallel(tmp_path: Path) -> None:
    def keep(number: int) -> None:
        cache = FileCache(str(tmp_path / 'cache'))
        for each in range(20):
            cache.keep(Digest.of(b'%d' % each), f'{number}', RESULT)
        cache.close()
    threads = [threading.Thread(target=keep, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache = FileCache(str(tmp_path / 'cache'))
    assert all(cache.find(Digest.of(b'%d' % each), f'{number}') == RESULT for each in range(20) for number in range(8))


@pytest.mark.parametrize('column', ['diff_id', 'digest', 'size', 'media_type', 'recipe', 'made_from'])
def test_a_changed_row_is_an_error(column: str, tmp_path: Path) -> None:
    FileCache(str(tmp_path / 'cache')).keep(ONE, 'recipe', RESULT)
    with sqlite3.connect(tmp_path / 'cache') as connection:
        other = {'recipe': 'recipe2', 'size': 8, 'media_type': 'text/plain'}.get(column, Digest.of(b'three'))
        connection.execute(f'UPDATE layers SET {column} = ?', [str(other)])
    cache = FileCache(str(tmp_path / 'cache'))
    with pytest.raises(OutputError, match='cache cannot be used: it is damaged: remove it'):
        cache.find(Digest(str(other)) if column == 'made_from' else ONE, 'recipe2' if column == 'recipe' else 'recipe')


def test_a_cache_that_is_damaged_during_a_run_is_an_error(tmp_path: Path) -> None:
    cache = FileCache(str(tmp_path / 'cache'))
    with sqlite3.connect(tmp_path / 'cache') as connection:
        connection.execute('DROP TABLE layers')
    with pytest.raises(OutputError, match='cache cannot be used: no such table'):
        cache.keep(ONE, 'recipe', RESULT)


def test_a_full_disk_costs_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = opened(*arguments, **options)
        connection.execute('PRAGMA max_page_count = 1')  # as if the disk were full
        return connection

    opened = sqlite3.connect
    monkeypatch.setattr(sqlite3, 'connect', connect)
    with pytest.raises(OutputError, match='cache cannot be used: database or disk is full: free some space'):
        FileCache(str(tmp_path / 'cache'))


def test_files_that_are_not_a_layer_cache_are_refused(tmp_path: Path) -> None:
    (tmp_path / 'text').write_text('not a database, but long enough to be taken for one' * 100)
    with pytest.raises(OutputError, match='text cannot be used: file is not a database: remove it'):
        FileCache(str(tmp_path / 'text'))
    with pytest.raises(OutputError, match='nowhere/cache cannot be used: .*: choose a place that exists'):
        FileCache(str(tmp_path / 'nowhere/cache'))
    with sqlite3.connect(tmp_path / 'later') as connection:
        connection.execute('PRAGMA user_version = 9')
    with pytest.raises(OutputError, match='another version'):
        FileCache(str(tmp_path / 'later'))


def process(name: str, *filters: str, cache: Path | None = None, form: str = 'stored') -> RunReport:
    run = Run(memory_plugins(), Settings(), VerifyLevel.FAST, Progress(), layer_cache=str(cache) if cache else None)
    return run.process(name, f'memory://shelf?form={form}', filters)


@pytest.mark.parametrize('form', ['stored', 'tar'])
def test_nothing_is_made_again_while_it_is_there(form: str, tmp_path: Path) -> None:
    opened: list[str] = []

    def watched(name: str) -> object:
        image = sample_image(name)
        for layer in image.layers:
            opener = layer._opener  # type: ignore[attr-defined]
            layer._opener = lambda opener=opener: opened.append(name) or opener()  # type: ignore[attr-defined]
        return image
    offer('one', 'two', 'three', image=watched)  # type: ignore[arg-type]
    first = process('memory://one', 'normalize-timestamps:ts=1', cache=tmp_path / 'cache', form=form)
    again = process('memory://two', 'normalize-timestamps:ts=1', cache=tmp_path / 'cache', form=form)
    assert opened == ['one'] * 3 and len(SHELVES['shelf'].writes) == 3
    assert first.succeeded and again.succeeded
    one, two = (report.images[0].receipt for report in (first, again))
    assert one and two and (one.image_id, one.diff_ids) == (two.image_id, two.diff_ids)
    SHELVES['shelf'].blobs.pop(one.of_kind('layer')[1].digest)
    third = process('memory://three', 'normalize-timestamps:ts=1', cache=tmp_path / 'cache', form=form)
    assert third.succeeded and opened == ['one'] * 3 + ['three'] and len(SHELVES['shelf'].writes) == 4


def test_other_options_are_another_recipe(tmp_path: Path) -> None:
    offer('one')
    process('memory://one', 'normalize-timestamps:ts=1', cache=tmp_path / 'cache')
    process('memory://one', 'normalize-timestamps:ts=2', cache=tmp_path / 'cache')
    assert len(set(SHELVES['shelf'].writes)) == 6


def test_filters_that_do_not_promise_to_repeat_are_run_each_time(tmp_path: Path) -> None:
    offer('one')
    for _ in range(2):
        process('memory://one', 'without:name=usr', cache=tmp_path / 'cache')
    with sqlite3.connect(tmp_path / 'cache') as connection:
        assert connection.execute('SELECT count(*) FROM layers').fetchone() == (0,)


def test_a_run_remembers_for_itself() -> None:
    cache = RunCache()
    assert cache.find(ONE, 'recipe') is None
    cache.keep(ONE, 'recipe', RESULT)
    assert cache.find(ONE, 'recipe') == RESULT
