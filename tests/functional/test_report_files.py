"""`--report`: one run as JSON, as JUnit XML, and as a page that a browser shows without a complaint."""
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from occystrap_core import OutputError
from occystrap_core.report.html_report import html_report
from occystrap_core.report.junit_report import junit_report
from occystrap_core.report.report_files import ReportFiles
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.conftest import require_service
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.services.browser import Browser, browser
from tests.services.directories import small_disk
from tests.services.silent_listener import listener

EVIL = '<svg/onload=alert(1)>&amp;"\'.tar'
KINDS = ('r.json', 'r.xml', 'r.html')
REPORTS = [word for name in KINDS for word in ('--report', name)]


@pytest.fixture(scope='module')
def window() -> Iterator[Browser]:
    with require_service(browser) as opened:
        yield opened


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of two archives, and of one with a name that means harm, which is not there."""
    monkeypatch.chdir(tmp_path)
    write_docker_archive(tmp_path / 'a.tar', sample_config(), sample_layers(), 'app:v1')
    write_docker_archive(tmp_path / 'b.tar', sample_config(), sample_layers(), 'tëam/app:v1')
    (tmp_path / 'list').write_text(f'tar://a.tar\ntar://b.tar\ntar://{EVIL}\n')
    return tmp_path


def cases(path: Path) -> dict[str, ElementTree.Element]:
    """The test cases of a report by their names; their numbers are those of the suite and of all."""
    root = ElementTree.parse(path).getroot()
    found = {each.attrib['name']: each for each in root.iter('testcase')}
    for each in (root, root[0]):
        assert each.attrib['tests'] == str(len(found))
        assert each.attrib['failures'] == str(len(root.findall('.//failure')))
        assert each.attrib['errors'] == str(len(root.findall('.//error')))
    return found


def test_three_reports_of_one_run(here: Path, window: Browser) -> None:
    done = run_here('process', 'list://list', 'dir://out?unique_names=true', '-O', 'json', *REPORTS)
    done.assert_code(1)
    document = json.loads((here / 'r.json').read_text())
    assert document == json.loads(done.out)
    first, second, third = document['images']
    assert {each['outcome'] for each in first['expectations']} == {'verified'} and third['failure']
    found = cases(here / 'r.xml')
    assert list(found)[0] == 'app:v1' and len(found) == 3
    assert [len(each.findall('failure')) for each in found.values()] == [0, 0, 1]
    assert EVIL in found[list(found)[2]].find('failure').attrib['message']  # type: ignore[union-attr]
    text = (here / 'r.html').read_text()
    assert EVIL[:25] not in text and 'href=' not in text and 'src=' not in text
    for width in (1280, 400):
        window.resize(width)
        window.open((here / 'r.html').as_uri())
        assert window.run('return document.documentElement.scrollWidth <= innerWidth'), 'nothing is cut off'
        assert window.console() == []
        bar = 'document.querySelector(".chart rect").getBoundingClientRect().width'
        assert window.run(f'return {bar}') > width * 0.3, 'bars have room'
    sections = window.run('return [...document.querySelectorAll(".image")].map(each => each.innerText)')
    assert len(sections) == 3 and EVIL in sections[0] and 'failed' in sections[0], 'failures come first'
    assert window.run('return document.querySelectorAll(".chart rect").length') == 6
    assert window.run('const all = document.querySelectorAll("details"); all[0].open = true;'
                      'return all[0].innerText').count('verified') == len(first['expectations'])


def test_no_text_is_markup_or_moves_a_cursor() -> None:
    evil = '\x00\x1b[2J\u202e\udcff]]></style><script>alert(1)</script>'
    document = {'level': 'full', 'succeeded': False, 'seconds': 0.5, 'summary': evil, 'error': evil, 'notes': [evil],
                'pruned': [{'reference': evil, 'destination': evil, 'reason': evil}],
                'images': [{'reference': evil, 'destination': evil, 'failure': evil, 'outcome': None, 'seconds': 0.0,
                            'status': 'failed', 'notes': [evil], 'evidence': evil, 'expectations': [
                                {'kind': evil, 'locator': evil, 'outcome': 'failed', 'size': 5, 'digest': evil,
                                 'observed': [{'presence': evil, 'how': evil, 'reason': evil}]}],
                            'findings': [{'severity': 'error', 'item': evil, 'message': evil}]}]}
    xml, page = junit_report('verify', document), html_report('verify', document)
    ElementTree.fromstring(xml)
    for text in (xml, page):
        assert not set(evil[:6]) - set('[2J') & set(text) and '\\x1b[2J\\u202e\\xff]]&gt;' in text
        assert '<script>' not in text
    assert page.count('</style>') == 1


def test_damage_and_what_cannot_be_proved(here: Path) -> None:
    run_here('process', 'tar://a.tar', 'dir://out').assert_code(0)
    layer = next((here / 'out').glob('*/layer.tar'), None) or max((here / 'out').rglob('*'), key=os.path.getsize)
    layer.write_bytes(layer.read_bytes()[:-1])
    run_here('verify', 'dir://out', *REPORTS).assert_code(1)
    case, = cases(here / 'r.xml').values()
    failure = case.find('failure')
    assert failure is not None and 'size' in failure.attrib['message'] and float(case.attrib['time']) > 0
    page = (here / 'r.html').read_text()
    assert '1 of 1 image failed' in page and 'class="image failed"' in page
    run_here('process', 'tar://a.tar', 'tar://gone.tar', '--receipt', 'kept').assert_code(0)
    text = (here / 'kept').read_text().replace('tar://', 'unheard-of://')
    (here / 'kept').write_text(text)
    assert run_here('verify', 'kept', *REPORTS).code == 1


def test_checks(here: Path) -> None:
    write_docker_archive(here / 'c.tar', sample_config(), [*sample_layers()[:-1], b'no tar'], 'app:v2')
    (here / 'list').write_text('tar://a.tar\ntar://c.tar\n')
    done = run_here('check', 'list://list', '-O', 'json', *REPORTS)
    done.assert_code(1)
    document = json.loads((here / 'r.json').read_text())
    assert document == json.loads(done.out) and not document['succeeded']
    good, bad = cases(here / 'r.xml').values()
    assert good.find('failure') is None and bad.find('failure') is not None
    assert 'checked, ' in (here / 'r.html').read_text()


def test_a_run_whose_only_image_fails(here: Path) -> None:
    is_refused(run_here('check', 'registry://127.0.0.1:1/app:v1', '--retries', '0', *REPORTS), 'connection refused')
    case, = cases(here / 'r.xml').values()
    assert 'connection refused' in case.find('failure').attrib['message']  # type: ignore[union-attr]
    damaged = here / 'a.tar'
    damaged.write_bytes(damaged.read_bytes()[:5000])
    run_here('process', 'tar://a.tar', 'tar://out.tar', *REPORTS).assert_code(1)
    assert json.loads((here / 'r.json').read_text())['error']
    assert 'The run ended early' in (here / 'r.html').read_text()


def test_an_interrupted_run(here: Path) -> None:
    with listener(holds=True) as silent:
        (here / 'list').write_text(f'tar://a.tar\nregistry://{silent.host}/late:v2\n')
        command = ['process', 'list://list', 'dir://out?unique_names=true', '-J', '1', *REPORTS]
        running = subprocess.Popen([sys.executable, '-m', 'occystrap_core', *command], stderr=subprocess.PIPE)
        assert running.stderr
        for line in running.stderr:
            if line.startswith(b'[1/2]'):
                break
        running.send_signal(signal.SIGINT)
        message = running.stderr.read()
        assert running.wait() == 130, message
    first, second = json.loads((here / 'r.json').read_text())['images']
    assert first['outcome'] == 'verified' and second['failure'] == 'interrupted'
    found = cases(here / 'r.xml')
    assert len(found) == 2 and 'interrupted' in (here / 'r.html').read_text()


@pytest.mark.parametrize('command', [['process', 'tar://a.tar', 'layout://L:x'], ['verify', 'layout://L'],
                                     ['check', 'layout://L']], ids=lambda command: command[0])
@pytest.mark.parametrize(('file', 'words'), [
    ('report.txt', 'the suffix says what is written'), ('report', 'the suffix says what is written'),
    ('L/oci.json', 'no such report of occystrap'), ('L/blobs/new.json', 'lies within'), ('dir.json', 'directory'),
    ('pipe.xml', 'not a regular file'), ('L/.occystrap/new.html', '.occystrap')])
def test_places_where_no_report_goes(file: str, words: str, command: list[str], here: Path) -> None:
    run_here('process', 'tar://a.tar', 'layout://L:x').assert_code(0)
    (here / 'L/oci.json').write_text('{"manifests": []}')
    (here / 'dir.json').mkdir()
    os.mkfifo('pipe.xml')
    before = {path: path.read_bytes() for path in here.rglob('*') if path.is_file()}
    is_refused(run_here(*command, '--report', file), words, code=2)
    assert {path: path.read_bytes() for path in here.rglob('*') if path.is_file()} == before


def test_a_report_is_none_of_the_other_files(here: Path) -> None:
    for words in (['--receipt', 'r.json'], ['--layer-cache', 'r.json'], ['--dry-run']):
        is_refused(run_here('process', 'tar://a.tar', 'dir://out', *words, '--report', 'r.json'), '--report', code=2)
    (here / 'a.json').write_bytes((here / 'a.tar').read_bytes())
    is_refused(run_here('check', 'tar://a.json', '--report', 'a.json'), 'no such report', code=2)
    is_refused(run_here('process', 'tar://a.tar', 'tar://new.json', '--report', 'new.json'), 'lies within', code=2)
    with open('out.json', 'wb') as file:
        done = subprocess.run([sys.executable, '-m', 'occystrap_core', 'check', 'tar://a.tar', '-O', 'json', '--report',
                               'out.json'], stdout=file, stderr=subprocess.PIPE)
    assert done.returncode == 2 and b'is stdout, where' in done.stderr


@pytest.mark.parametrize(('words', 'message'), [
    (['tar://a.tar', 'dir://out', '--receipt', 'r.json', '--report', 'r.json'], 'both write to'),
    (['tar://a.tar', 'tar://new.json', '--report', 'new.json'], 'lies within'),
    (['list://list', 'tar://{tag}.json', '--report', 'v1.json'], 'lies within'),
    (['list://list.json', 'dir://out?unique_names=true', '--receipt', 'list.json', '--force'], 'lies within')])
def test_workers_get_no_image_that_is_a_file_of_the_run(words: list[str], message: str, here: Path) -> None:
    (here / 'list').rename('list.json')
    (here / 'list').symlink_to('list.json')
    before = {path: path.read_bytes() for path in here.iterdir()}
    is_refused(run_here('process', *words, '--executor', 'processes:workers=1'), message, code=2)
    assert {path: path.read_bytes() for path in here.iterdir()} == before


def test_a_file_that_appears_meanwhile_stays(here: Path) -> None:
    files = ReportFiles('check', ['r.json', 'r.xml'])
    (here / 'r.json').write_text('{"mine": true}')
    with pytest.raises(OutputError, match='r.json exists and is no such report'):
        files.write({'succeeded': True, 'seconds': 0.5, 'summary': 'Summary: 0/0 images', 'images': []})
    assert (here / 'r.json').read_text() == '{"mine": true}' and not cases(here / 'r.xml')


@pytest.mark.parametrize(('pruned', 'message'), [
    ([{'reference': 'app:v1', 'destination': 'dir://out', 'reason': 'in use'}],
     'Not pruned: app:v1 at dir://out: in use'), ([], 'Summary: 0/0 images')])
def test_a_run_that_fails_without_an_image_is_no_success_for_ci_systems(
        pruned: list[dict[str, str]], message: str, tmp_path: Path) -> None:
    document = {'succeeded': False, 'seconds': 0.5, 'summary': 'Summary: 0/0 images', 'images': [], 'pruned': pruned}
    (tmp_path / 'r.xml').write_text(junit_report('process', document))
    case, = cases(tmp_path / 'r.xml').values()
    assert case.find('error').attrib['message'] == message  # type: ignore[union-attr]


def test_a_report_replaces_an_older_one_as_a_whole(here: Path) -> None:
    run_here('check', 'tar://a.tar', *REPORTS).assert_code(0)
    (here / 'r.html').chmod(0o640)
    (here / 'link.html').symlink_to('r.html')
    run_here('process', 'tar://a.tar', 'dir://out', '--report', 'link.html').assert_code(0)
    assert (here / 'link.html').is_symlink() and 'occystrap process' in (here / 'r.html').read_text()
    assert (here / 'r.html').stat().st_mode & 0o777 == 0o640
    assert not list(here.glob('.*'))


def test_a_place_that_takes_no_report(here: Path, tmp_path: Path) -> None:
    is_refused(run_here('process', 'tar://a.tar', 'dir://out', '--report', 'missing/r.xml'), 'cannot write to missing/')
    assert not (here / 'out').exists(), 'nothing is copied first'
    with require_service(lambda: small_disk(tmp_path / 'disk', '64k')) as disk:
        free = os.statvfs(disk)
        (disk / 'filler').write_bytes(bytes(free.f_bavail * free.f_frsize))
        done = run_here('process', 'tar://a.tar', 'dir://out', '--report', disk / 'r.html')
        done.assert_code(1)
        assert 'occystrap: error: the result is not in all files of --report: cannot write to' in done.err
        assert 'free some space' in done.err and done.err.splitlines()[-1].startswith('Summary: 1/1 image')
        assert os.listdir(disk) == ['filler'] and (here / 'out/manifest.json').exists()
