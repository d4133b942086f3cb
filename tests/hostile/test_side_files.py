"""Files that filters and options write besides images: nothing that holds something else is added to or replaced."""
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.services.command_line import CommandResult

FILTERS = ['inspect:', 'search:pattern=*,', 'search:pattern=*,script_friendly=true,']


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an archive, the same image as a directory, a list, and links."""
    write_docker_archive(tmp_path / 'a.tar', sample_config(), sample_layers(), 'sample:v1')
    monkeypatch.chdir(tmp_path)
    run_here('process', 'tar://a.tar', 'dir://D').assert_code(0)
    run_here('process', 'tar://a.tar', 'tar://o.tar', '--receipt', 'receipts').assert_code(0)
    (tmp_path / 'list').write_text('tar://a.tar\n')
    (tmp_path / 'script').write_text('#!/bin/sh\n')
    (tmp_path / 'services.yaml').write_text('services:\n  one:\n')
    (tmp_path / 'half').write_text('no line')
    (tmp_path / 'link').symlink_to('script')
    (tmp_path / 'dangling').symlink_to('victim')
    (tmp_path / 'loop').symlink_to('.')
    return tmp_path


def contents(here: Path) -> dict[Path, bytes]:
    """Everything that is there."""
    return {path: path.read_bytes() for path in here.rglob('*') if path.is_file()}


@pytest.mark.parametrize('given', FILTERS)
@pytest.mark.parametrize('file', ['script', 'link', 'dangling', 'half', 'services.yaml', 'receipts', 'D/manifest.json'])
def test_a_report_is_not_added_to_what_is_none(file: str, given: str, here: Path) -> None:
    before = contents(here)
    result = run_here('process', 'tar://a.tar', 'tar://new.tar', '-f', f'{given}file={file}')
    is_refused(result, file, ': choose ', code=2)
    assert contents(here) == before


@pytest.mark.parametrize(('source', 'destination', 'file'), [
    ('tar://a.tar', 'tar://new.tar', 'a.tar'), ('list://list', 'tar://new.tar', 'loop/a.tar'),
    ('list://list', 'tar://new.tar', 'list'), ('tar://a.tar', 'tar://new.tar', 'loop/new.tar'),
    ('dir://D', 'tar://new.tar', 'D/report'), ('tar://a.tar', 'dir://loop/D', 'D/report'),
    ('tar://a.tar', 'tar://new.tar', 'new.receipts'), ('tar://a.tar', 'tar://new.tar', 'new.cache')])
def test_a_report_is_not_written_to_where_other_things_are(source: str, destination: str, file: str, here: Path,
                                                           ) -> None:
    before = contents(here)
    result = run_here('process', source, destination, '-f', f'search:pattern=*,file={file}', '--receipt',
                      'new.receipts', '--layer-cache', 'new.cache')
    is_refused(result, file.rpartition('/')[2], ': choose ', code=2)
    assert contents(here) == before


def test_nor_by_an_entry_of_a_plan(here: Path) -> None:
    (here / 'plan.toml').write_text('''
        images = [{source = "tar://a.tar", destination = "tar://one.tar", filters = ["inspect:file=two.tar"]},
                  {source = "dir://D", destination = "tar://two.tar"}]''')
    is_refused(run_here('process', 'plan://plan.toml', '_'), 'file= two.tar', 'two.tar', code=2)
    is_refused(run_here('process', 'plan://plan.toml', '_', '--dry-run'), 'file= two.tar', code=2)


def test_nor_to_a_list_that_looks_like_a_report(here: Path) -> None:
    (here / 'list').write_text('a.tar:\n')  # a name that looks like the first line of a report
    is_refused(run_here('process', 'list://list', 'tar://new.tar', '-f', 'inspect:file=list'), 'list', code=2)


@pytest.mark.parametrize('given', FILTERS)
def test_reports_are_added_to_reports_of_whichever_kind(given: str, here: Path) -> None:
    for each in (*FILTERS, given):
        run_here('process', 'tar://a.tar', 'tar://new.tar', '-f', f'{each}file=report').assert_code(0)
    before = (here / 'report').read_text()
    (here / 'report').write_text(f'{before}{{"reference": "half a li')
    run_here('process', 'tar://a.tar', 'tar://new.tar', '-f', f'{given}file=report').assert_code(0)
    assert (here / 'report').read_text().startswith(f'{before}{{"reference": "half a li\n')


def test_devices_and_pipes_take_reports(here: Path) -> None:
    os.mkfifo('pipe')
    reader = os.open('pipe', os.O_RDONLY | os.O_NONBLOCK)
    for target in ('/dev/null', 'pipe'):
        run_here('process', 'tar://a.tar', 'tar://new.tar', '-f', f'inspect:file={target}').assert_code(0)
    assert os.read(reader, 99).startswith(b'{"reference": "sample:v1"')
    os.close(reader)


def into(stdout: Path, *arguments: str, stderr: int | BinaryIO = subprocess.PIPE) -> CommandResult:
    """Run `occystrap` with its stdout in a file."""
    with stdout.open('wb') as file:
        done = subprocess.run([sys.executable, '-m', 'occystrap_core', *arguments], stdout=file, stderr=stderr)
    return CommandResult(arguments, done.returncode, stdout.read_text(errors='replace'), (done.stderr or b'').decode())


@pytest.mark.parametrize(('option', 'name'), [
    ('--receipt ', '/dev/stdout'), ('--receipt ', 'out'), ('--layer-cache ', '/dev/fd/1'),
    ('-f inspect:file=', '/proc/self/fd/1'), ('-f search:pattern=x,file=', 'loop/out')])
def test_nothing_else_goes_to_a_stdout_in_use(option: str, name: str, here: Path) -> None:
    taken = ['tar://-', '--no-verify'] if name.startswith('/dev') else ['tar://new.tar', '-O', 'json']
    result = into(here / 'out', 'process', 'tar://a.tar', *taken, *f'{option}{name}'.split())
    is_refused(result, name, 'is stdout, where ', ' goes: choose a file', code=2)
    assert result.out == '' and not (here / 'new.tar').exists()


def test_receipts_and_reports_may_go_to_a_stdout_that_is_free_but_not_both(here: Path) -> None:
    receipts = into(here / 'out', 'process', 'tar://a.tar', 'tar://new.tar', '--receipt', '/dev/stdout')
    receipts.assert_code(0)
    assert receipts.out.startswith('{"receipt": ')
    reports = into(here / 'out', 'process', 'tar://a.tar', 'tar://new.tar', '-f', 'inspect:file=/dev/fd/1')
    reports.assert_code(0)
    assert reports.out.startswith('{"reference": ')
    both = into(here / 'out', 'process', 'tar://a.tar', 'tar://new.tar', '-f', 'search:pattern=x',
                '--receipt', '/dev/stdout')
    is_refused(both, 'both write to stdout: choose a file', code=2)


def test_the_file_of_all_messages_is_no_side_file(here: Path) -> None:
    with open('log', 'wb') as log:
        result = into(here / 'out', 'process', 'tar://a.tar', 'tar://new.tar', '--receipt', '/dev/stderr', stderr=log)
    result.assert_code(2)
    output = (here / 'log').read_text()
    assert '--receipt /dev/stderr is the file that stderr, with all messages, is redirected to' in output


@pytest.mark.parametrize(('destination', 'file'), [
    ('layout://other', 'other/.occystrap/lock'), ('layout://L', 'loop/L/blobs/new'), ('layout://L', 'L/index.json'),
    ('layout://L', 'other/.occystrap/lock'), ('dir://D', 'D/manifest-new.json'), ('dir://D', 'D/catalog.json'),
    ('oci://B', 'B/new'), ('mounts://M', 'M/new'), ('dir://M/../E', 'E/' + 64 * 'a')])
def test_no_side_file_is_among_what_a_destination_keeps(destination: str, file: str, here: Path) -> None:
    run_here('process', 'tar://a.tar', 'layout://other').assert_code(0)
    for name in ('L', 'B', 'M', 'E'):
        (here / name / 'blobs').mkdir(parents=True)
    before = contents(here)
    for option in ('--receipt', '--layer-cache'):
        is_refused(run_here('process', 'tar://a.tar', destination, option, file, '--force'), file, ': choose ', code=2)
    assert contents(here) == before


@pytest.mark.parametrize('source', ['tar://a.tar', 'layout://L'])
def test_a_source_survives_receipts_that_replace_its_other_name(source: str, here: Path) -> None:
    run_here('process', 'tar://a.tar', 'layout://L').assert_code(0)
    kept = here / ('a.tar' if source == 'tar://a.tar' else next((here / 'L/blobs/sha256').iterdir()))
    os.link(kept, here / 'other')
    before = kept.read_bytes()
    run_here('process', source, 'dir://D', '--receipt', 'other', '--force').assert_code(0)
    assert kept.read_bytes() == before
    assert (here / 'other').read_text().startswith('{"receipt": ')


@pytest.mark.parametrize('file', ['L/today.receipts', 'L/receipts/today'])
def test_receipts_may_be_beside_what_a_destination_keeps(file: str, here: Path) -> None:
    run_here('process', 'tar://a.tar', 'layout://L').assert_code(0)
    (here / 'L/receipts').mkdir()
    run_here('process', 'tar://a.tar', 'layout://L', '--receipt', file).assert_code(0)
    assert (here / file).read_text().startswith('{"receipt": ')


@pytest.mark.parametrize('options', [
    ['--receipt', 'a.tar', '--force'], ['--receipt', 'list', '--force'], ['--receipt', 'new', '--layer-cache', 'new'],
    ['--layer-cache', 'loop/new.tar'], ['--layer-cache', '/dev/null'],
    ['--layer-cache', 'dangling'], ['--layer-cache', 'others.db']])
def test_options_that_name_files_spare_others(options: list[str], here: Path) -> None:
    with sqlite3.connect('others.db') as database:
        database.execute('CREATE TABLE theirs (column TEXT)')
    database.close()
    before = contents(here)
    is_refused(run_here('process', 'list://list', 'tar://new.tar', *options), ': choose ', code=2)
    assert contents(here) == before
