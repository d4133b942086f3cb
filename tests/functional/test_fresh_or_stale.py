"""A run asks the source what each name means now: nothing that has moved since is called unchanged."""
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from occystrap_core import Receipt, Settings
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.unit.registry.images import push
from tests.unit.registry.several import manifest_at, name_all, put_many, registry_of

NAMES = ['team/app:v1', 'team/app:v2', 'other/tool:v1']


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    yield from registry_of(tmp_path, NAMES)


def night(path: Path, *more: str, code: int = 0, destination: str = 'layout://{}/mirror') -> CommandResult:
    """Run the mirror once more, with its file of receipts."""
    done = path / 'done'
    result = run_here('process', f'list://{path}/list', destination.format(path), '--receipt', done, '--resume', done,
                      '-O', 'json', *more)
    result.assert_code(code)
    return result


def unchanged(result: CommandResult) -> list[str]:
    return [image['reference'].partition('/')[2] for image in result.json()['images'] if image['done_before']]


@pytest.mark.parametrize('destination', ['layout://{}/mirror', 'dir://{}/mirror?unique_names=true',
                                         'mounts://{}/mirror'])
def test_only_what_moved_is_copied(destination: str, host: str, tmp_path: Path) -> None:
    assert unchanged(night(tmp_path, destination=destination)) == []
    result = night(tmp_path, destination=destination)
    assert unchanged(result) == NAMES and result.err.splitlines()[-1].endswith('3 unchanged, 3/3 verified')
    push(host, Settings(), sample_image(NAMES[1], variant='moved'), NAMES[1])
    result = night(tmp_path, destination=destination)
    assert unchanged(result) == [NAMES[0], NAMES[2]] and '2 unchanged, 3/3 verified' in result.err
    assert unchanged(night(tmp_path, destination=destination)) == NAMES


def test_a_name_that_vanished_fails(host: str, tmp_path: Path) -> None:
    night(tmp_path)
    httpx.delete(f'http://{host}/v2/other/tool/manifests/v1', trust_env=False, verify=False).raise_for_status()
    result = night(tmp_path, code=1)
    assert unchanged(result) == NAMES[:2] and 'other/tool:v1 does not exist' in result.err
    assert unchanged(night(tmp_path, '--no-refresh')) == NAMES


def test_without_asking_the_old_image_is_taken_and_said_so(host: str, tmp_path: Path) -> None:
    night(tmp_path)
    push(host, Settings(), sample_image(NAMES[0], variant='moved'), NAMES[0])
    result = night(tmp_path, '--no-refresh')
    assert unchanged(result) == NAMES and '3 done before (source not asked)' in result.err
    assert not any(image['source_asked'] for image in result.json()['images'])
    assert unchanged(night(tmp_path)) == NAMES[1:]


def test_an_unchanged_image_costs_one_request_at_the_source(host: str, tmp_path: Path) -> None:
    first, again = night(tmp_path), night(tmp_path)
    assert again.json()['requests'] == 1 + len(NAMES) < first.json()['requests']  # the first is for /v2/ or a login


def test_an_unreachable_source_is_no_proof(tmp_path: Path) -> None:
    with RegistryServer(tmp_path / 'registry') as server:
        push(server.host, Settings(), sample_image(NAMES[0]), NAMES[0])
        (tmp_path / 'list').write_text(f'registry://{server.host}/{NAMES[0]}\n')
        night(tmp_path)
    result = run_here('process', f'list://{tmp_path}/list', f'layout://{tmp_path}/mirror', '--retries=0', '--resume',
                      tmp_path / 'done')
    result.assert_code(1)
    assert 'unchanged' not in result.err


def test_new_referrers_are_copied(host: str, tmp_path: Path) -> None:
    """They leave the digest of the tag as it is."""
    (tmp_path / 'list').write_text(f'registry://{host}/{NAMES[0]}?referrers=true\n')
    night(tmp_path)
    assert unchanged(night(tmp_path)) == []


def test_a_layout_and_a_directory_are_asked_as_well(host: str, tmp_path: Path) -> None:
    for kind in ('layout', 'dir'):
        run_here('process', f'registry://{host}/{NAMES[0]}', f'{kind}://{tmp_path}/{kind}').assert_code(0)
        (tmp_path / 'list').write_text(f'{kind}://{tmp_path}/{kind}\n')
        assert unchanged(night(tmp_path)) == [] and len(unchanged(night(tmp_path))) == 1
        run_here('process', f'registry://{host}/{NAMES[2]}', f'{kind}://{tmp_path}/{kind}', '--force').assert_code(0)
    assert manifest_at(host, 'v1', 'other/tool').status_code == 200


@pytest.mark.parametrize('refresh', ['--refresh', '--no-refresh'])
@pytest.mark.parametrize(('name', 'platform', 'filters', 'stands'), [
    ('many:v1', 'linux/amd64', '', False), ('many:v1', 'linux/amd64', 'exclude:pattern=/etc/*', False),
    ('many:v1', 'all', '', True), (NAMES[0], 'linux/amd64', '', True)])
def test_an_old_receipt_stands_for_what_it_proves(name: str, platform: str, filters: str, stands: bool, refresh: str,
                                                  host: str, tmp_path: Path) -> None:
    """Earlier versions took one platform where nothing was said, and their receipts say nothing either."""
    put_many(host, Settings())
    (tmp_path / 'list').write_text(f'registry://{host}/{name}\n')
    more = [f'--filter={filters}'] if filters else []
    night(tmp_path, f'--platform={platform}', *more)
    receipt = Receipt.from_json((tmp_path / 'done').read_text())
    old = replace(receipt, source=receipt.source.replace(f' --platform={platform}', ''))
    (tmp_path / 'done').write_text(old.to_json() + '\n')
    again = run_here('process', f'list://{tmp_path}/list', f'layout://{tmp_path}/mirror', '--resume',
                     tmp_path / 'done', '-O', 'json', '--replace-index', refresh, *more)
    again.assert_code(0)
    assert bool(unchanged(again)) is stands


def test_a_dry_run_tells_what_would_be_left(host: str, tmp_path: Path) -> None:
    night(tmp_path)
    push(host, Settings(), sample_image(NAMES[1], variant='moved'), NAMES[1])
    planned = night(tmp_path, '--dry-run').json()['images']
    assert [each['unchanged'] for each in planned] == [True, False, True]
    assert night(tmp_path, '--dry-run', '-Otext').out.count('is unchanged, verified') == 2
    assert unchanged(night(tmp_path)) == [NAMES[0], NAMES[2]]


PLACES = ['layout://{}/mirror', 'dir://{}/mirror?unique_names=true', 'mounts://{}/mirror',
          'registry://{host}/copy/{{repository}}:{{tag}}']


def plain_night(path: Path, place: str, host: str, *more: str, code: int = 0) -> CommandResult:
    """Run the mirror once more, without a file of receipts."""
    result = run_here('process', f'list://{path}/list', place.format(path, host=host), '-O', 'json', *more)
    return result.assert_code(code)


@pytest.mark.parametrize('place', PLACES)
def test_without_a_file_the_destination_tells(place: str, host: str, tmp_path: Path) -> None:
    name_all(tmp_path, host, [*NAMES, 'many:v1'] if place[0] != 'd' and place[0] != 'm' else NAMES)
    put_many(host, Settings())
    assert unchanged(plain_night(tmp_path, place, host)) == []
    again = plain_night(tmp_path, place, host)
    assert len(unchanged(again)) == again.json()['counts']['images'] and again.json()['counts']['bytes_moved'] == 0
    push(host, Settings(), sample_image(NAMES[1], variant='moved'), NAMES[1])
    moved = plain_night(tmp_path, place, host)
    assert NAMES[1] not in unchanged(moved) and moved.json()['counts']['changed'] == 1
    assert plain_night(tmp_path, place, host, '--dry-run', '-Otext').out.count('is unchanged, verified') >= 3
    unpacked = place.startswith(('mounts:', 'oci:'))  # whose list of files only unpacking again proves
    full = plain_night(tmp_path, place, host, '--verify=full').json()['counts']
    assert full['changed'] == (full['images'] if unpacked else 0)


@pytest.mark.parametrize('place', PLACES[:3])
def test_damaged_images_are_copied_again(place: str, host: str, tmp_path: Path) -> None:
    plain_night(tmp_path, place, host)
    victims = [path for path in (tmp_path / 'mirror').rglob('*') if path.is_file() and '.occystrap' not in path.parts
               and path.stat().st_size > 200]
    for path in sorted(victims)[:1 if place.startswith('mounts') else 3]:
        path.unlink()
    run_here('process', f'list://{tmp_path}/list', place.format(tmp_path, host=host), '--force')
    assert unchanged(plain_night(tmp_path, place, host)) == NAMES


def test_other_filters_platforms_and_forms_are_no_excuse(host: str, tmp_path: Path) -> None:
    """What is there is what the source has, but not what was asked for."""
    put_many(host, Settings())
    name_all(tmp_path, host, ['many:v1'])
    place = PLACES[-1]
    for more in ([], ['--filter=exclude:pattern=/etc/*', '--replace-index'], [],
                 ['--platform=linux/amd64', '--replace-index'], []):
        assert unchanged(plain_night(tmp_path, place, host, *more)) == [], more
    assert unchanged(plain_night(tmp_path, place, host)) == ['many:v1']
    assert unchanged(plain_night(tmp_path, place.replace('{{tag}}', '{{tag}}?format=oci'), host)) == []


def test_a_filter_that_reports_sees_every_image(host: str, tmp_path: Path) -> None:
    for _ in range(2):
        plain_night(tmp_path, PLACES[0], host, f'--filter=inspect:file={tmp_path}/seen')
        assert (tmp_path / 'seen').read_text()
        (tmp_path / 'seen').unlink()
