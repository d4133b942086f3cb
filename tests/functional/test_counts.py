"""The numbers of a run for programs, also of one that ends with an error."""
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core import Settings
from occystrap_core.testing.sample import sample_image
from tests.hostile.in_process import run_here
from tests.unit.core.pipeline.memory import wait_until
from tests.unit.registry.images import push
from tests.unit.registry.several import put_many, registry_of

NAMES = ['team/app:v1', 'team/app:v2']


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    yield from registry_of(tmp_path, NAMES)


def test_a_mirror_counts(host: str, tmp_path: Path) -> None:
    words = ['process', f'list://{tmp_path}/list', f'layout://{tmp_path}/mirror', '-J1', '-O', 'json', '--receipt',
             str(tmp_path / 'done'), '--resume', str(tmp_path / 'done')]
    first = run_here(*words).json()
    counts = first['counts']
    assert (counts['images'], counts['changed'], counts['unchanged'], counts['failed'], counts['retries']) == (
        2, 2, 0, 0, 0)
    blobs = {path for path in (tmp_path / 'mirror/blobs/sha256').iterdir()}
    assert 0 < counts['bytes_moved'] < sum(each['bytes'] for each in first['images'])
    assert counts['bytes_moved'] < sum(path.stat().st_size for path in blobs)
    push(host, Settings(), sample_image(NAMES[1], variant='moved'), NAMES[1])
    again = run_here(*words).json()['counts']
    assert (again['changed'], again['unchanged'], again['failed']) == (1, 1, 0)
    assert 0 < again['bytes_moved'] < counts['bytes_moved'] and again['seconds'] >= 0


@pytest.mark.parametrize('name', ['team/app:v9', 'none/*:*'])
def test_the_only_image_that_fails_is_reported_to_programs(name: str, host: str, tmp_path: Path) -> None:
    words = ['process', f'registry://{host}/{name}', f'dir://{tmp_path}/x']
    result = run_here(*words, '-O', 'json').assert_code(1)
    report = result.json()
    assert report['succeeded'] is False and report['counts']['changed'] == 0 and report['error'] in result.err
    assert [(each['failure'], each['status']) for each in report['images']] == [(report['error'], 'failed')] * (
        '*' not in name)
    text = run_here(*words).assert_code(1)
    assert text.out == '' and len(text.errors) == 1
    assert ('Summary: 0/1 image, 0 layers, 0 B moved, ' in text.err.splitlines()[-1]) is ('*' not in name)


def test_wrong_usage_is_no_run(host: str, tmp_path: Path) -> None:
    result = run_here('process', f'registry://{host}/team/app:v1', f'dir://{tmp_path}/{{colour}}', '-O', 'json')
    assert result.code == 2 and result.out == ''


def test_an_interrupted_run_counts_what_it_did(host: str, tmp_path: Path) -> None:
    """The summary stays the last line, and JSON says of each image whether it had ended."""
    with socket.create_server(('127.0.0.1', 0)) as silent:
        with open(tmp_path / 'list', 'a') as listed:
            listed.write(f'registry://127.0.0.1:{silent.getsockname()[1]}/silent:v1\n')
        process = subprocess.Popen(
            [sys.executable, '-m', 'occystrap_core', 'process', f'list://{tmp_path}/list',
             f'layout://{tmp_path}/mirror', '-O', 'json', '--receipt', tmp_path / 'done'],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: (tmp_path / 'done').exists() and (tmp_path / 'done').read_text().count('\n') == 2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    report = json.loads(out)
    assert process.returncode == 130 and report['error'] == 'interrupted'
    assert [each['failure'] for each in report['images']] == [None, None, 'interrupted']
    assert (report['counts']['changed'], report['counts']['failed']) == (2, 1)
    assert [each['status'] for each in report['images']] == ['copied', 'copied', 'failed']
    assert all(each['manifest_digest'] and each['source_digest'] for each in report['images'][:2])
    *_, before, last = err.splitlines()
    assert 'interrupted; nothing half-written' in err and last == report['summary']
    assert before.startswith(f'Resume: run the same command with --resume {tmp_path}/done; ')


def test_the_layers_of_an_index_are_counted_by_verify_too(host: str, tmp_path: Path) -> None:
    put_many(host, Settings())
    words = ['process', f'registry://{host}/many:v1', f'layout://{tmp_path}/x', '--receipt', str(tmp_path / 'done')]
    runs = [run_here(*words), run_here(*words, '--resume', str(tmp_path / 'done')),
            run_here('verify', tmp_path / 'done')]
    ends = [each.err.splitlines()[-1].partition('6 layers, ')[2].partition(', ')[0] for each in runs]
    assert ends == ['1.2 KiB moved', '0 B moved', '1.2 KiB'], 'what moved, and for verify what is there'


def test_the_platform_note_is_given_for_unchanged_images_too(host: str, tmp_path: Path) -> None:
    put_many(host, Settings())
    words = ['process', f'registry://{host}/many:v1', f'dir://{tmp_path}/x', '--receipt', str(tmp_path / 'done')]
    first, again = run_here(*words), run_here(*words, '--resume', str(tmp_path / 'done'), '-O', 'json')
    note = next(line for line in first.err.splitlines() if line.startswith('note: '))
    assert ': 1 of ' in note and note in again.err.splitlines()
    image, = again.json()['images']
    assert image['status'] == 'unchanged' and image['bytes_moved'] == 0 and len(image['platforms']['taken']) == 1
