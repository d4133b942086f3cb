"""status: what of a mirror is current, stale, missing, extra or unreachable; nothing is moved."""
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from occystrap_core import Settings
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.unit.registry.images import push
from tests.unit.registry.several import document_at, name_all, put_artifact, registry_of

NAMES = ['team/app:v1', 'team/app:v2', 'team/app:v3', 'many:v1']
DESTINATIONS = ['layout://{}/mirror', 'dir://{}/mirror?unique_names=true',
                'registry://{host}/copy/{{repository}}:{{tag}}']


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    yield from registry_of(tmp_path, NAMES)


def mirror(path: Path, destination: str, host: str) -> str:
    """Make the mirror, with a file of receipts; return the destination."""
    place = destination.format(path, host=host)
    run_here('process', f'list://{path}/list', place, '--receipt', path / 'done').assert_code(0)
    return place


def status(path: Path, place: str, *more: str | Path, code: int = 1) -> CommandResult:
    result = run_here('status', f'list://{path}/list', place, '-O', 'json', *more)
    result.assert_code(code)
    return result


def states(result: CommandResult) -> dict[str, str]:
    return {image['reference'].partition('/')[2]: image['state'] for image in result.json()['images']}


@pytest.mark.parametrize('destination', DESTINATIONS)
def test_a_mirror_through_its_changes(destination: str, host: str, tmp_path: Path) -> None:
    place = destination.format(tmp_path, host=host)
    before = status(tmp_path, place)
    assert set(states(before).values()) == {'missing'} and before.err.endswith('Summary: 0/4 current, 4 missing\n')
    mirror(tmp_path, destination, host)
    more = ['--receipt', tmp_path / 'done'] if destination.startswith('registry') else []
    whole = status(tmp_path, place, *more, code=0)
    assert set(states(whole).values()) == {'current'} and whole.err == 'Summary: 4/4 current\n'
    push(host, Settings(), sample_image(NAMES[0], variant='moved'), NAMES[0])
    httpx.delete(f'http://{host}/v2/team/app/manifests/v2', trust_env=False, verify=False).raise_for_status()
    changed = status(tmp_path, place, *more)
    assert states(changed) == {NAMES[0]: 'stale', NAMES[1]: 'extra', NAMES[2]: 'current', NAMES[3]: 'current'}
    assert changed.json()['counts'] == {'current': 2, 'stale': 1, 'missing': 0, 'extra': 1, 'unreachable': 0}
    name_all(tmp_path, host, [NAMES[0], NAMES[3]])
    fewer = states(status(tmp_path, place, *more))
    assert sorted(fewer.values()) == ['current', 'extra', 'extra', 'stale']


def test_lost_images_are_missing(host: str, tmp_path: Path) -> None:
    place = mirror(tmp_path, DESTINATIONS[0], host)
    shutil.rmtree(tmp_path / 'mirror/blobs')
    assert set(states(status(tmp_path, place)).values()) == {'missing'}


def test_an_unreachable_source_is_neither_current_nor_stale(tmp_path: Path) -> None:
    with RegistryServer(tmp_path / 'registry') as server:
        push(server.host, Settings(), sample_image(NAMES[0]), NAMES[0])
        name_all(tmp_path, server.host, NAMES[:1])
        place = mirror(tmp_path, DESTINATIONS[0], server.host)
    result = status(tmp_path, place, '--retries=0')
    image, = result.json()['images']
    assert image['state'] == 'unreachable' and 'connection refused' in image['reason']


def test_the_table_has_what_is_not_current_first(host: str, tmp_path: Path) -> None:
    place = mirror(tmp_path, DESTINATIONS[0], host)
    push(host, Settings(), sample_image(NAMES[2], variant='moved'), NAMES[2])
    result = run_here('status', f'list://{tmp_path}/list', place)
    result.assert_code(1)
    lines = result.out.splitlines()
    assert lines[0].startswith('stale') and 'team/app:v3' in lines[0]
    assert 'the digest at the source is now sha256:' in lines[0]
    assert len(lines) == 4 and all(line.startswith('current') for line in lines[1:])
    assert result.err == 'Summary: 3/4 current, 1 stale\n'


def test_a_registry_needs_no_receipts(host: str, tmp_path: Path) -> None:
    place = mirror(tmp_path, DESTINATIONS[2], host)
    assert set(states(status(tmp_path, place, code=0)).values()) == {'current'}
    push(host, Settings(), sample_image(NAMES[0], variant='moved'), NAMES[0])
    for lost in ('team/app/manifests/v2', 'copy/team/app/manifests/v3'):
        httpx.delete(f'http://{host}/v2/{lost}', trust_env=False, verify=False).raise_for_status()
    assert states(status(tmp_path, place)) == {NAMES[0]: 'stale', NAMES[1]: 'extra', NAMES[2]: 'missing',
                                               NAMES[3]: 'current'}


@pytest.mark.parametrize('destination', [
    'layout://{}/mirror', 'tar://{}/mirror.tar?format=oci', 'registry://{host}/copy/{{repository}}:{{tag}}'])
def test_new_and_other_referrers_make_an_image_stale(destination: str, host: str, tmp_path: Path) -> None:
    place = destination.format(tmp_path, host=host)
    source = f'registry://{host}/{NAMES[0]}?referrers=true'
    digest = document_at(host, 'v1', 'team/app').digest
    more = ['--receipt', tmp_path / 'done']

    def state(code: int) -> dict[str, str]:
        found = run_here('status', source, place, '-O', 'json', *more)
        found.assert_code(code)
        image: dict[str, str] = found.json()['images'][0]
        return image

    for signature in ('', 'signature', 'another'):
        if signature:
            tagged = put_artifact(host, signature.encode(), f'sha256-{digest[7:]}.sig', 'team/app')
            put_artifact(host, b'sbom of ' + signature.encode(), repository='team/app', subject=tagged)
            assert state(1)['state'] == 'stale' and 'the source now has referrers that are' in state(1)['reason']
        run_here('process', source, place, *more).assert_code(0)
        assert state(0)['state'] == 'current'


def test_a_delta_lacks_what_it_leaves_out(host: str, tmp_path: Path) -> None:
    source = f'registry://{host}/{NAMES[0]}'
    run_here('process', source, f'layout://{tmp_path}/base', '--receipt', tmp_path / 'done').assert_code(0)
    run_here('process', source, f'layout://{tmp_path}/delta', '--since', tmp_path / 'done').assert_code(0)
    found = run_here('status', source, f'layout://{tmp_path}/delta')
    found.assert_code(1)
    assert found.out.startswith('missing') and 'the delta there leaves out layer sha256:' in found.out


def test_another_choice_of_platforms_is_missing_and_not_extra_as_well(host: str, tmp_path: Path) -> None:
    source, place = f'registry://{host}/many:v1', f'layout://{tmp_path}/mirror'
    run_here('process', source, place, '--platform', 'linux/amd64').assert_code(0)
    image, = json.loads(run_here('status', source, place, '-O', 'json').out)['images']
    assert image['state'] == 'missing' and '--platform=linux/amd64: give status the same' in image['reason']
    run_here('status', source, place, '--platform', 'linux/amd64').assert_code(0)


@pytest.mark.parametrize('way', ['{}/other', 'tar://{}/other.tar?format=oci'])
def test_the_same_images_from_another_source_are_current_or_stale(way: str, host: str, tmp_path: Path) -> None:
    other = way.format(tmp_path) if way.startswith('tar') else f'layout://{way.format(tmp_path)}'
    run_here('process', f'list://{tmp_path}/list', other).assert_code(0)
    run_here('process', other.partition('?')[0], f'layout://{tmp_path}/mirror').assert_code(0)
    assert set(states(status(tmp_path, f'layout://{tmp_path}/mirror', code=0)).values()) == {'current'}
    push(host, Settings(), sample_image(NAMES[0], variant='moved'), NAMES[0])
    assert states(status(tmp_path, f'layout://{tmp_path}/mirror'))[NAMES[0]] == 'stale'


@pytest.mark.parametrize('destination', DESTINATIONS[:2])
def test_a_copy_of_a_mirror_is_compared_with_it(destination: str, host: str, tmp_path: Path) -> None:
    """Its receipts name the first source and the first place; nothing of it is extra."""
    place = mirror(tmp_path, destination, host)
    shutil.copytree(tmp_path / 'mirror', tmp_path / 'stick')
    stick = place.replace('/mirror', '/stick')
    result = run_here('status', place.partition('?')[0], stick, '-O', 'json')
    assert 'extra' not in states(result).values() and len(states(result)) == 4
    if destination.startswith('layout'):
        assert set(states(result).values()) == {'current'}
    assert set(states(status(tmp_path, stick, code=0)).values()) == {'current'}
