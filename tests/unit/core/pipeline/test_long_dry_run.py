"""Dry runs of very many images: the first are shown while the last are looked for, and none is kept."""
from collections.abc import Sequence
from pathlib import Path

import pytest

from occystrap_core import Settings, UsageError
from occystrap_core.pipeline import dry_run
from occystrap_core.pipeline.dry_run import PlannedCopy, plan_copies
from tests.unit.core.pipeline.memory import IMAGES, SHELVES, memory_plugins, offer
from tests.unit.core.pipeline.test_long_run import HERE, closed, opened, shown


@pytest.fixture(autouse=True)
def begins_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as soon as two images are known, and look at each alone."""
    for each in (SHELVES, IMAGES, closed, opened, shown):
        each.clear()
    monkeypatch.setattr(dry_run, '_AT_ONCE', 1)


def plan(source: str, destination: str = 'memory://to-{repository}') -> list[PlannedCopy]:
    """Return the planned copies; what waits to be shown goes on after the first."""
    found = []
    for each in plan_copies(memory_plugins(f'{HERE}:OnePlace', f'{HERE}:Pages'), Settings(images=2), source,
                            [destination], [], most=2):
        found.append(each)
        shown.set()
    return found


def failures(found: Sequence[PlannedCopy]) -> list[str]:
    return [each.failure for each in found if each.failure]


def test_images_are_shown_before_all_are_listed() -> None:
    found = plan(offer('one', 'two', 'see', 'three', 'four'))
    assert [each.destination for each in found] == [f'memory://to-{name}' for name in ('one', 'two', 'three', 'four')]
    assert [each.layers for each in found] == [3] * 4 and not failures(found)


def test_a_later_mistake_fails_alone_and_an_early_one_refuses_all() -> None:
    offer('one', 'two', 'team/two', 'three', 'team/one')
    found = plan('memory://one,two,team/two,three', 'memory://to-{name}')
    failed, = failures(found)
    assert 'would replace another image of this run there' in failed and len(found) == 4
    with pytest.raises(UsageError, match='one replacing the other'):
        plan('memory://one,team/one,two', 'memory://to-{name}')


def test_a_list_that_is_cut_is_a_failure() -> None:
    assert failures(plan(offer('one', 'two', 'three', 'cut', 'four'))) == ['the list was cut']


def test_sources_of_a_list_are_closed_when_their_images_are_shown(tmp_path: Path) -> None:
    offer(*(names := [f'app-{number}' for number in range(40)]))
    (listed := tmp_path / 'images.txt').write_text(''.join(f'memory://{each}\n' for each in names))
    open_then = []
    for _ in plan_copies(memory_plugins(f'{HERE}:OnePlace', f'{HERE}:Pages'), Settings(images=2), f'list://{listed}',
                         ['memory://to-{repository}'], [], most=2):
        open_then.append(sum(opened.values()) - len(closed))
    assert len(open_then) == 40 and sorted(closed) == sorted(names) and max(open_then) < 10, open_then
