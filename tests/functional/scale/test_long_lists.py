"""Lists that are read while images are copied: mistakes in them fail alone, and length costs little."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.scale.bulk import mirror_at
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandLine
from tests.services.registry import Registry
from tests.services.sixty_images import SixtyImages

ROOT = Path(__file__).parents[3]
ORDERS = 1_000_000 if os.environ.get('OCCYSTRAP_TEST_ALL') == '1' else 2_000


def test_mistakes_in_the_middle_of_a_list_fail_alone(sixty: SixtyImages, destination: Registry, occystrap: CommandLine,
                                                     tmp_path: Path) -> None:
    source, host = sixty.listed(tmp_path, 3), sixty.registry.host
    with open(source.removeprefix('list://'), 'a') as listed:
        listed.write(f'%%\nregistry://{host}/team/app-05:v1?colour=red\nregistry://ann:canary@{host}/team/app-06:v1\n'
                     f'registry://{host}/team/app-00:v1\nregistry://{host}/team/missing:v1\n')
    result = occystrap('process', source, mirror_at(destination.host), '--executor', 'processes:workers=1')
    result.assert_code(1)
    assert result.err.splitlines()[-1].endswith('3/7 verified, 4 FAILED')
    assert 'team/app-00:v1 is listed more than once, and copied once' in result.err and 'canary' not in result.err
    failed = [line for line in result.err.splitlines() if line.startswith('FAILED ')]
    for line, words in zip(failed, ['line 4: ', 'line 5: ', 'has a login in it', 'team/missing:v1 does not exist'],
                           strict=True):
        assert words in line, result


def test_mistakes_at_its_beginning_are_refused(sixty: SixtyImages, occystrap: CommandLine, tmp_path: Path) -> None:
    (tmp_path / 'images.txt').write_text(f'registry://{sixty.registry.host}/team/app-00:v1\n%%\n')
    for source, words in (('list://images.txt', 'images.txt, line 2: '), (f'list://{os.devnull}', 'lists no images')):
        result = occystrap('process', source, 'dir://out?unique_names=true', '--executor', 'processes').assert_code(2)
        assert len(result.errors) == 1 and words in result.errors[0], result
    two = occystrap('process', sixty.listed(tmp_path, 2), 'dir://out', '--executor', 'processes').assert_code(2)
    assert len(two.errors) == 1 and 'would replace another image of this run there' in two.errors[0]
    assert not (tmp_path / 'out').exists()


def test_many_orders_cost_the_client_little() -> None:
    done = subprocess.run([sys.executable, ROOT / 'benchmarks/bulk_orders.py', str(ORDERS)], cwd=ROOT, check=True,
                          capture_output=True, text=True)
    found = re.fullmatch(r'(\d+) orders: the first after ([\d.]+) s, all after [\d.]+ s, [\d.]+ s of the processor, '
                         r'(\d+) MiB\n', done.stdout)
    assert found and int(found[1]) == ORDERS and float(found[2]) < 10 and int(found[3]) < 500, done.stdout


def test_many_images_cost_one_process_little() -> None:
    count = max(ORDERS // 10, 6_000)
    done = subprocess.run([sys.executable, ROOT / 'benchmarks/long_lists.py', str(count)], cwd=ROOT, check=True,
                          capture_output=True, text=True)
    found = re.fullmatch(r'(\d+) images: the first after ([\d.]+) s, all after [\d.]+ s, [\d.]+ s of the processor, '
                         r'(\d+) MiB\n', done.stdout)
    assert found and int(found[1]) == count and float(found[2]) < 10 and int(found[3]) < 200, done.stdout


def test_images_found_while_others_are_copied_are_copied_alike(
        sixty: SixtyImages, destination: Registry, occystrap: CommandLine, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    """To a registry and into one archive, from a list and from a pattern, with receipts of all."""
    monkeypatch.setattr('occystrap_core.pipeline.run.WINDOW', 2)
    monkeypatch.chdir(tmp_path)
    listed = Path(sixty.listed(tmp_path, 6).removeprefix('list://'))
    listed.write_text(listed.read_text() + '%%\n')
    goes = [mirror_at(destination.host), f'tar://{tmp_path}/all.tar?format=oci']
    result = run_here('process', f'list://{listed}', *goes, '--receipt', 'receipts').assert_code(1)
    assert '12/13 verified, 1 FAILED' in result.err.splitlines()[-1], result
    assert any(line.startswith('FAILED %%: ') and 'line 7: ' in line for line in result.err.splitlines()), result
    assert '12/12 verified' in occystrap('verify', 'receipts', '--full').assert_success().err
    again = run_here('process', f'registry://{destination.host}/team/*:*', 'layout://mirror', '--resume', 'receipts',
                     ).assert_code(0)
    assert '6/6 verified' in again.err.splitlines()[-1], again
    unchanged = run_here('process', f'registry://{destination.host}/team/*:*', 'layout://mirror', '-O', 'json')
    assert [each['status'] for each in unchanged.assert_code(0).json()['images']] == ['unchanged'] * 6


def test_many_receipts_of_an_earlier_run_cost_little_memory() -> None:
    done = subprocess.run([sys.executable, '-m', 'benchmarks.many_receipts', str(ORDERS)], cwd=ROOT, check=True,
                          capture_output=True, text=True)
    found = re.fullmatch(r'(\d+) receipts of \d+ bytes: [\d.]+ s of the processor, (\d+) MiB\n', done.stdout)
    assert found and int(found[1]) == ORDERS and int(found[2]) < 300, done.stdout
