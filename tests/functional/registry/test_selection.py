"""Of many tags some are taken: versions and age; signatures and charts are no images of a pattern."""
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core.oci import natural_key
from tests.functional.registry.test_referrers import artifact, tag_of
from tests.services.command_line import CommandLine
from tests.services.registry import Registry, plain_registry
from tests.services.tiny_image import put_tiny_image

CHART = 'application/vnd.cncf.helm.config.v1+json'


@pytest.fixture(scope='module')
def stocked() -> Iterator[Registry]:
    """A registry with versions of an application, a signature for one, its list of referrers, and a chart."""
    with plain_registry() as registry:
        for tag in ('1.2', '1.9', '1.10', '2.0-rc1', '2.0', 'latest'):
            image = put_tiny_image(registry, 'team/app', tag, files={'etc/version': tag.encode()})
        artifact(registry, 'team/app', b'signed', f'{tag_of(image)}.sig')
        artifact(registry, 'team/app', b'a list', tag_of(image))
        artifact(registry, 'team/app', b'a chart', 'chart-1.0', kind=CHART)
        yield registry


def tags(layout: Path, occystrap: CommandLine) -> list[str]:
    images = occystrap('-O', 'json', 'info', f'layout://{layout}').assert_success().json()['images']
    return sorted((image['reference'].rpartition(':')[2] for image in images), key=natural_key)


def test_versions_in_a_list_and_in_a_uri(stocked: Registry, tmp_path: Path, occystrap: CommandLine) -> None:
    listed = tmp_path / 'images.txt'
    listed.write_text(f'registry://{stocked.host}/team/app:*?semver=>=1.2 <2&newest=2 # the newest\n')
    occystrap('process', f'list://{listed}', f'layout://{tmp_path}/a').assert_success()
    assert tags(tmp_path / 'a', occystrap) == ['1.9', '1.10']
    occystrap('process', f'layout://{tmp_path}/a?newest=1', f'layout://{tmp_path}/b').assert_success()
    assert tags(tmp_path / 'b', occystrap) == ['1.10']
    receipts = [path.read_text() for path in tmp_path.glob('?/.occystrap/receipts/*.json')]
    assert len(receipts) == 3 and not any('newest' in each or 'semver' in each for each in receipts)


def test_a_range_without_a_version(stocked: Registry, tmp_path: Path, occystrap: CommandLine) -> None:
    source = f'registry://{stocked.host}/team/app:*'
    run = occystrap('process', f'{source}?semver=^3', f'layout://{tmp_path}/a')
    assert run.code == 1 and not (tmp_path / 'a').exists()
    assert run.err.splitlines()[-1] == (
        f"occystrap: error: {source}: none of 7 images is selected by semver='^3'; the newest are: "
        '2.0, 2.0-rc1, 1.10, 1.9, 1.2 and 2 more')


def test_signatures_and_charts_are_counted(stocked: Registry, tmp_path: Path, occystrap: CommandLine) -> None:
    run = occystrap('process', f'registry://{stocked.host}/team/app:*', f'layout://{tmp_path}/a').assert_success()
    assert (f'note: registry://{stocked.host}/team/app:*: left out 2 signature and referrers tags; add referrers=true '
            'to copy them with their images') in run.err and 'Summary: 7/7 images' in run.err
    assert 'chart-1.0' in (tmp_path / 'a/index.json').read_text()
    assert len(tags(tmp_path / 'a', occystrap)) == 6
    run = occystrap('-O', 'json', 'process', f'registry://{stocked.host}/team/app:*?exclude=:[12]*',
                    f'dir://{tmp_path}/b?unique_names=true').assert_success()
    assert run.json()['counts']['images'] == 1 and run.json()['counts']['failed'] == 0
    assert 'note: left out 1 artifact that is not an image, such as a chart; registry://, layout://' in run.err
    dry = occystrap('process', '--dry-run', f'registry://{stocked.host}/team/app:*',
                    f'dir://{tmp_path}/c?unique_names=true')
    assert dry.assert_success().err.count('left out') == 2 and 'Dry run: 6/6 images' in dry.err
    alone = occystrap('process', f'registry://{stocked.host}/team/app:chart-1.0', f'dir://{tmp_path}/d')
    assert alone.code == 1 and 'chart-1.0 is not a container image: its config is ' in alone.err


def test_an_exclusion_of_tags_without_its_colon_is_told(stocked: Registry, tmp_path: Path, occystrap: CommandLine,
                                                        ) -> None:
    source, to = f'registry://{stocked.host}/team/app:*', f'layout://{tmp_path}/a'
    run = occystrap('process', f'{source}?exclude=*-rc*,:latest,nothing,team/other', to, '--dry-run')
    assert [line for line in run.err.splitlines() if 'exclude' in line] == [
        f'note: {source}: exclude=*-rc* leaves out nothing, since it matches repositories: to exclude tags write '
        ':*-rc*']
    for quiet in ('team/app:*-rc*', ':*-rc*', '**/app', 'team/*'):
        output = occystrap('process', f'{source}?exclude={quiet}&newest=1', to, '--dry-run').err
        assert 'exclude=' not in output.replace(f"exclude='{quiet}'", '')


@pytest.mark.parametrize(('image', 'words'), [
    ('team/app?newest=2',
     "team/app:latest is not selected by newest='2', and none is a version; available: latest; all tags are {}:*"),
    (r'team/app:*?regex=^\d', r"is selected by regex='^\d', which must match the whole tag; available: 1.2, 1.9")])
def test_a_selection_of_nothing_says_how_it_is_meant(image: str, words: str, stocked: Registry, tmp_path: Path,
                                                     occystrap: CommandLine) -> None:
    run = occystrap('process', f'registry://{stocked.host}/{image}', f'layout://{tmp_path}/a').assert_code(1)
    assert words.replace('{}', f'registry://{stocked.host}/team/app') in run.err


def test_tags_of_signatures_are_not_proposed(stocked: Registry, tmp_path: Path, occystrap: CommandLine) -> None:
    digest = f'sha256:{64 * "0"}'
    for missing in ('team/app:sha', f'team/app@{digest}'):
        run = occystrap('info', f'registry://{stocked.host}/{missing}').assert_code(1)
        assert 'does not exist; available: ' in run.err and 'available: sha256-' not in run.err
