"""prune=true: what the source no longer has goes from the destination, if a receipt of ours covers it; nothing else."""
import json
import signal
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from occystrap_core.oci import Digest
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_registry.server.storage import Storage
from tests.functional.registry.test_referrers import INDEX_TYPE, artifact, tag_of
from tests.services.command_line import CommandLine, CommandResult
from tests.services.registry import Registry, plain_registry
from tests.services.tiny_image import MANIFEST_TYPE, put_tiny_image
from tests.services.uploads import put_manifest


@pytest.fixture
def source() -> Iterator[Registry]:
    with plain_registry() as registry:
        for tag in ('1.1', '1.2', '1.3'):
            put_tiny_image(registry, 'team/app', tag, files={'etc/version': tag.encode()})
        yield registry


@pytest.fixture(scope='module')
def target() -> Iterator[Registry]:
    with plain_registry() as registry:
        yield registry


def tags(registry: Registry, repository: str) -> list[str]:
    with urllib.request.urlopen(f'{registry.url}/v2/{repository}/tags/list') as answer:
        return sorted(json.loads(answer.read())['tags'] or ())


def mirrored(occystrap: CommandLine, source: Registry, target: Registry, home: str, query: str, *more: str,
             ) -> CommandResult:
    return occystrap('process', f'registry://{source.host}/team/*:*?{query}',
                     f'registry://{target.host}/{home}/{{repository}}:{{tag}}', '--receipt', 'done', *more)


def test_the_oldest_go_after_they_are_shown(source: Registry, target: Registry, tmp_path: Path,
                                            occystrap: CommandLine) -> None:
    mirrored(occystrap, source, target, 'a', '').assert_success()
    put_tiny_image(target, 'a/team/app', 'ours-not', files={'etc/other': b'made by others'})
    dry = mirrored(occystrap, source, target, 'a', 'newest=1&prune=true', '--prune', '--dry-run').assert_success()
    assert f'would prune {target.host}/a/team/app:1.1 at registry://' in dry.out and ', 2 to prune' in dry.err
    assert len(tags(target, 'a/team/app')) == 4
    without = mirrored(occystrap, source, target, 'a', 'newest=1&prune=true').assert_success()
    assert 'note: prune=true deletes nothing without --prune' in without.err and len(tags(target, 'a/team/app')) == 4
    run = mirrored(occystrap, source, target, 'a', 'newest=1&prune=true&keep=:1.2', '--prune').assert_success()
    assert 'note: 1 image is kept by keep=' in run.err and ', 1 pruned' in run.err.splitlines()[-1]
    assert tags(target, 'a/team/app') == ['1.2', '1.3', 'ours-not']
    last = occystrap('-O', 'json', 'process', f'registry://{source.host}/team/*:*?newest=1&prune=true',
                     f'registry://{target.host}/a/{{repository}}:{{tag}}', '--receipt', 'done', '--prune')
    found = last.assert_success().json()
    assert found['counts']['pruned'] == 1 and found['pruned'][0]['reference'] == f'{target.host}/a/team/app:1.2'
    assert [json.loads(line)['reference'].rpartition(':')[2] for line in (tmp_path / 'done').read_text().splitlines()
            ] == ['1.3']
    occystrap('verify', 'done').assert_success()


def test_manifests_needed_by_others_are_kept(source: Registry, target: Registry, tmp_path: Path,
                                             occystrap: CommandLine) -> None:
    mirrored(occystrap, source, target, 'b', '').assert_success()
    with urllib.request.urlopen(urllib.request.Request(f'{target.url}/v2/b/team/app/manifests/1.1',
                                                       headers={'Accept': MANIFEST_TYPE})) as answer:
        raw = answer.read()
    shared = put_manifest(target, 'b/team/app', raw, MANIFEST_TYPE, 'of-others')
    run = mirrored(occystrap, source, target, 'b', 'newest=1&prune=true', '--prune').assert_code(1)
    assert ('NOT PRUNED' in run.err and ', 1 pruned, 1 NOT PRUNED' in run.err.splitlines()[-1])
    assert (f'1.1 shares its manifest with of-others, which stays, and {target.host} cannot delete a tag alone'
            in run.err)
    assert tags(target, 'b/team/app') == ['1.1', '1.3', 'of-others']
    listing = {'schemaVersion': 2, 'mediaType': INDEX_TYPE, 'manifests': [shared]}
    put_manifest(target, 'b/team/app', json.dumps(listing).encode(), INDEX_TYPE, 'of-others')
    run = mirrored(occystrap, source, target, 'b', 'newest=1&prune=true', '--prune').assert_code(1)
    assert '1.1 shares its manifest with of-others' in run.err
    put_tiny_image(target, 'b/team/app', 'of-others')
    put_tiny_image(target, 'b/team/app', '1.1', files={'etc/moved': b'by others'})
    run = mirrored(occystrap, source, target, 'b', 'newest=1&prune=true', '--prune').assert_code(1)
    assert '1.1 is sha256:' in run.err and 'now, which no receipt covers' in run.err


def test_an_unreachable_or_empty_source_deletes_nothing(source: Registry, target: Registry, tmp_path: Path,
                                                        occystrap: CommandLine) -> None:
    mirrored(occystrap, source, target, 'c', '').assert_success()
    (tmp_path / 'list').write_text(f'registry://{source.host}/team/*:1.3?prune=true\n'
                                   'registry://127.0.0.1:9/team/*:*?prune=true\n')
    run = occystrap('process', 'list://list?prune=true', f'registry://{target.host}/c/{{repository}}:{{tag}}',
                    '--receipt', 'done', '--prune').assert_code(1)
    assert 'note: nothing is pruned, since 1 of 2 images failed' in run.err
    none = 'semver=^9&prune='
    assert 'none of 3 images is selected' in mirrored(occystrap, source, target, 'c', f'{none}true', '--prune'
                                                      ).assert_code(1).err
    assert len(tags(target, 'c/team/app')) == 3
    run = mirrored(occystrap, source, target, 'c', f'{none}empty', '--prune').assert_success()
    assert 'Summary: 0/0 images' in run.err and ', 2 pruned' in run.err and tags(target, 'c/team/app') == ['1.3']
    assert f'note: 1 image is kept that other sources copied too: list://{tmp_path}/list' in run.err
    (tmp_path / 'list').write_text(f'registry://{source.host}/team/*:9?prune=empty\n')
    run = occystrap('process', 'list://list?prune=empty', f'registry://{target.host}/c/{{repository}}:{{tag}}',
                    '--receipt', 'done', '--prune').assert_success()
    assert ', 1 pruned' in run.err and tags(target, 'c/team/app') == [] and not (tmp_path / 'done').read_text()
    wrong = mirrored(occystrap, source, target, 'c', '', '--prune').assert_code(2)
    assert '--prune: no source has prune=true' in wrong.err
    wrong = occystrap('process', f'registry://{source.host}/team/*:*?prune=true', 'tar://{tag}.tar').assert_code(2)
    assert 'images there cannot be pruned, only those at dir:// and layout:// and registry://' in wrong.err


def test_a_layout_loses_what_nothing_else_needs(source: Registry, tmp_path: Path, occystrap: CommandLine) -> None:
    image = put_tiny_image(source, 'team/tool', 'v1', files={'etc/tool': b'1'})
    artifact(source, 'team/tool', b'signed', f'{tag_of(image)}.sig', subject=image)
    where = f'registry://{source.host}/team/*:*?referrers=true'
    occystrap('process', where, 'layout://m').assert_success()
    other = put_tiny_image(source, 'lone', 'v1', files={'etc/version': b'1.1'})  # the same layer as team/app:1.1
    occystrap('process', f'registry://{source.host}/lone:v1', 'layout://m').assert_success()
    blobs = {path.name for path in (tmp_path / 'm/blobs/sha256').iterdir()}
    receipts = tmp_path / 'm/.occystrap/receipts'
    before = {path: path.read_bytes() for path in receipts.iterdir()}
    again = ('process', f'{where}&exclude=team/tool,:1.1&prune=true', 'layout://m', '--prune')
    assert ', 2 pruned' in occystrap(*again).assert_success().err
    for path, content in before.items():  # what a process leaves that is killed before it removes them
        path.write_bytes(content)
    occystrap('verify', 'layout://m').assert_code(1)
    assert ', 2 pruned' in occystrap(*again).assert_success().err
    listed = (tmp_path / 'm/index.json').read_text()
    assert 'team/tool' not in listed and '.sig' not in listed and 'app:1.1' not in listed and 'lone:v1' in listed
    left = {path.name for path in (tmp_path / 'm/blobs/sha256').iterdir()}
    assert str(other['digest']).partition(':')[2] in left and len(blobs - left) == 6  # manifests, configs, two blobs
    occystrap('verify', 'layout://m', '--verify=full').assert_success()
    assert len(list(receipts.iterdir())) == 3


def test_a_list_is_pruned_by_its_own_receipts(source: Registry, tmp_path: Path, occystrap: CommandLine) -> None:
    (tmp_path / 'list').write_text(f'{source.host}/team/app:1.1\n{source.host}/team/app:1.2\n')
    occystrap('process', 'list://list', 'layout://m', '--receipt', 'done').assert_success()
    occystrap('process', f'registry://{source.host}/team/app:1.3', 'layout://m').assert_success()
    (tmp_path / 'list').write_text(f'{source.host}/team/app:1.2\n')
    run = occystrap('process', 'list://list?prune=true', 'layout://m', '--prune').assert_success()
    assert 'nothing is pruned: a list needs its own receipts for that: use --receipt FILE' in run.err
    run = occystrap('process', 'list://list?prune=true', 'layout://m', '--receipt', 'done', '--prune').assert_success()
    listed = (tmp_path / 'm/index.json').read_text()
    assert 'app:1.1' not in listed and 'app:1.2' in listed and 'app:1.3' in listed and ', 1 pruned' in run.err


def test_the_worked_plan(source: Registry, target: Registry, tmp_path: Path, occystrap: CommandLine,
                         monkeypatch: pytest.MonkeyPatch) -> None:
    put_tiny_image(source, 'base/os', 'stable')
    for tag in ('v1', 'v2', 'latest'):
        put_tiny_image(source, 'tools/make', tag, files={'etc/version': tag.encode()})
    monkeypatch.setenv('SOURCE', source.host)
    monkeypatch.setenv('MIRROR', f'registry://{target.host}/worked')
    monkeypatch.setenv('BACKUP', f'{tmp_path}/backup')
    plan = Path(__file__).parents[3] / 'docs/mirror.toml'
    text = plan.read_text().replace('newest = 5', 'newest = 1')
    occystrap('process', f'plan://{plan}', '--receipt', 'done', '--prune').assert_success()
    assert tags(target, 'worked/team/app') == ['1.2', '1.3'] and tags(target, 'worked/os') == ['stable']
    assert tags(target, 'worked/tools/make') == ['v1', 'v2'] and (tmp_path / 'backup/index.json').exists()
    (tmp_path / 'twice.toml').write_text(text.replace("keep = ['team/app:1.2*']", ''))
    (tmp_path / 'all.toml').write_text("include = ['twice.toml', './twice.toml']\n")
    run = occystrap('process', 'plan://all.toml', '--receipt', 'done', '--prune').assert_success()
    assert tags(target, 'worked/team/app') == ['1.3'] and run.err.count('is already listed in') == 3
    assert 'twice.toml, line 10, image 1: registry://' in run.err


def test_an_image_without_a_tag_is_never_a_list_of_referrers(source: Registry, tmp_path: Path,
                                                             occystrap: CommandLine) -> None:
    digest = put_tiny_image(source, 'lone')['digest']
    named = f'registry://{source.host}/lone@{digest}'
    run = occystrap('process', named, f'registry://{source.host}/x:{{tag}}').assert_code(2)
    assert 'has no tag to fill in; use @{digest}, or a tag of your own such as :digest-{hex}' in run.err
    run = occystrap('process', named, f'registry://{source.host}/x:sha256-{{hex}}').assert_code(2)
    assert 'sha256-… is the tag under which registries list referrers' in run.err
    occystrap('process', named, f'registry://{source.host}/x:digest-{{hex}}').assert_success()


def test_a_kill_in_the_middle_is_made_up_for_by_the_next_run(source: Registry, tmp_path: Path, occystrap: CommandLine,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """The receipts that the killed run has left do no harm, and what it did not delete goes."""
    for tag in ('1.1', '1.2'):
        image = put_tiny_image(source, 'team/app', tag, files={'etc/version': tag.encode()})
        artifact(source, 'team/app', b'signed' + tag.encode(), f'{tag_of(image)}.sig', subject=image)
    with RegistryServer(tmp_path / 'target') as target:
        goes = f'registry://{target.host}/{{repository}}:{{tag}}'
        where = f'registry://{source.host}/team/*:*?referrers=true'
        occystrap('process', where, goes, '--receipt', 'done').assert_success()
        really, deleted, killed = Storage.delete_manifest, list[str](), threading.Event()

        def delete(storage: Storage, repository: str, reference: Digest | str) -> None:
            if not killed.is_set() and len(deleted) == 2:
                process.kill()
                killed.set()
            really(storage, repository, reference)
            deleted.append(str(reference))
        monkeypatch.setattr(Storage, 'delete_manifest', delete)
        again = ['process', f'{where}&newest=1&prune=true', goes, '--receipt', 'done', '--prune']
        process = occystrap.start_fork(*again)
        assert process.wait() == -signal.SIGKILL and killed.wait(5)
        assert all(f'app:{tag}"' in (tmp_path / 'done').read_text() for tag in ('1.1', '1.2', '1.3'))
        occystrap('verify', 'done').assert_code(1)
        assert ', 2 pruned' in occystrap(*again).assert_success().err
        left = httpx.get(f'http://{target.host}/v2/team/app/tags/list', trust_env=False).json()['tags']
        assert left == ['1.3'] and len(deleted) == 4
        occystrap('verify', 'done').assert_success()
        assert len((tmp_path / 'done').read_text().splitlines()) == 1
