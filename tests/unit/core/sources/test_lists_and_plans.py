"""Lists and plans in a run: each entry with its destination, platform and filters, or those of the command."""
from pathlib import Path

import pytest

from occystrap_core import Settings, UsageError, VerifyLevel
from occystrap_core.pipeline.run import Run
from occystrap_core.report.run_report import RunReport
from occystrap_core.testing.sample import sample_image
from tests.services.installed import installed_plugins
from tests.unit.core.report.test_reports import Recorded
from tests.unit.tar.archives import write


@pytest.fixture(autouse=True)
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images, in the directories `one` and `two`, which are below the current directory."""
    monkeypatch.chdir(tmp_path)
    for name in ('one', 'two'):
        write(sample_image(f'{name}:v1'), f'dir://{tmp_path}/{name}')


def run(source: str, destination: str | None = 'dir://out?unique_names=true', *filters: str) -> tuple[RunReport,
                                                                                                      Recorded]:
    progress = Recorded()
    report = Run(installed_plugins(), Settings(images=1, sync=False), VerifyLevel.FAST, progress).process(source,
                                                                                                          destination,
                                                                                                          filters)
    return report, progress


def put(name: str, text: str) -> str:
    """Write a list or plan and return its URI."""
    Path(name).write_text(text)
    return f'{"plan" if name.endswith("toml") else "list"}://{name}'


def test_an_image_that_is_listed_twice_is_copied_once() -> None:
    report, _ = run(put('images', 'dir://one\ndir://two\ndir://one\n'))
    assert [image.reference for image in report.images] == ['one:v1', 'two:v1'] and report.succeeded
    assert report.notes == ['images, line 3: dir://one is already listed in images, line 1, and is skipped']
    assert not report.images[1].notes


def test_a_source_that_cannot_be_listed_fails_alone() -> None:
    Path('empty').mkdir()
    report, progress = run(put('images', 'dir://empty\ndir://two\n'))
    assert [(image.reference, bool(image.failure)) for image in report.images] == [('two:v1', False),
                                                                                   ('dir://empty', True)]
    assert sorted(line.partition(' ')[0] for line in progress.done) == ['dir://empty', 'two:v1']
    assert not report.succeeded


def test_a_list_cannot_name_a_list() -> None:
    put('inner', 'dir://one\n')
    with pytest.raises(UsageError, match='images, line 1: list://inner: a list cannot name another list'):
        run(put('images', 'list://inner\n'))


def test_entries_have_their_own_filters_or_those_of_the_command() -> None:
    plan = put('plan.toml', """
        [[images]]
        source = 'dir://one'
        destination = 'dir://first'
        [[images]]
        source = 'dir://two'
        destination = 'dir://second'
        filters = []
        """)
    report, _ = run(plan, None, 'normalize-timestamps:ts=1')
    ids = [image.receipt.image_id for image in report.images if image.receipt]
    own = [sample_image(f'{name}:v1').config.digest for name in ('one', 'two')]
    assert report.succeeded and ids[0] != own[0] and ids[1] == own[1]


def test_a_platform_of_an_entry_is_that_of_its_image_alone() -> None:
    plan = put('plan.toml', """
        [[images]]
        source = 'dir://one'
        destination = 'dir://first'
        platform = 'linux/s390x'
        [[images]]
        source = 'dir://two'
        destination = 'dir://second'
        """)
    report, _ = run(plan, None)
    assert [bool(image.failure) for image in report.images] == [True, False]
    assert 'no image for platform linux/s390x' in report.images[0].failure


def test_every_destination_is_checked_before_anything_is_copied() -> None:
    write(sample_image('three:v1'), 'tar://three')
    plan = put('plan.toml', ''.join(f"""
        [[images]]
        source = 'dir://{source}'
        destination = 'tar://{target}'
        """ for source, target in (('one', 'a.tar'), ('one', 'b.tar'), ('two', 'b.tar'))))
    with pytest.raises(UsageError):
        run(plan, None)
    assert not Path('a.tar').exists() and not Path('b.tar').exists()


def test_without_a_destination_the_entry_is_named() -> None:
    with pytest.raises(UsageError, match='images, line 2: no destination for dir://two: add DEST'):
        run(put('images', '# ours\ndir://two\n'), None)
