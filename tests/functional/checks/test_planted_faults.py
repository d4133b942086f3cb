"""`occystrap check` finds each planted fault by its id, wherever the image is, and nothing else."""
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from occystrap_core.checks.rules import RULES, Level
from tests.functional.checks.planting import (
    COMPANIONS, EVERYWHERE, OF_ARCHIVES, OF_BLOBS, OF_TARS, Parts, put_in_docker_archive, put_in_directory,
    put_in_layout, put_in_oci_archive, put_in_registry,
)
from tests.services.command_line import CommandLine
from tests.services.docker_daemon import DockerDaemon
from tests.services.registry import Registry

Faults = dict[str, Callable[[], Parts]]
SOURCES: dict[str, Faults] = {
    'registry': {**EVERYWHERE, **OF_BLOBS},
    'oci': {**EVERYWHERE, **OF_BLOBS, **OF_ARCHIVES},
    'docker': {**EVERYWHERE, **OF_TARS, **OF_ARCHIVES},
    'dir': {**EVERYWHERE, **OF_TARS},
    'layout': {**EVERYWHERE, **OF_BLOBS},
}


def put(source: str, parts: Parts, name: str, directory: Path, registry: Registry) -> str:
    """Put an image where it is to be checked, and return its URI."""
    if source == 'registry':
        return put_in_registry(parts, registry, name)
    places = {'oci': put_in_oci_archive, 'docker': put_in_docker_archive, 'dir': put_in_directory,
              'layout': put_in_layout}
    return places[source](parts, directory, name)


def found_by_name(images: list[dict[str, Any]], names: list[str]) -> dict[str, dict[str, Any]]:
    """Return what was found, by the name that each image was given."""
    ends = (':v1', '.tar', '')
    return {name: next(each for each in images
                       if any(each['reference'].endswith(f'/{name}{end}') for end in ends)) for name in names}


@pytest.mark.parametrize('source', SOURCES)
def test_each_planted_fault_is_found(source: str, occystrap: CommandLine, registry_factory: Callable[..., Registry],
                                     tmp_path: Path) -> None:
    registry = registry_factory()
    faults = {'none': Parts, **SOURCES[source]}
    uris = {rule: put(source, make(), rule, tmp_path, registry) for rule, make in faults.items()}
    (tmp_path / 'list.txt').write_text(''.join(f'{uri}\n' for uri in uris.values()))
    images = occystrap('check', 'list://list.txt', '-O', 'json').assert_code(1).json()['images']
    found = found_by_name(images, list(faults))
    assert not found.pop('none')['findings']
    assert not {name: image['failure'] for name, image in found.items() if image['failure']}
    rules = {name: {each['rule'] for each in image['findings']} for name, image in found.items()}
    wrong = {name: each for name, each in rules.items()
             if name not in each or each - {name} - COMPANIONS.get(name, set())}
    assert not wrong
    assert len(rules) >= 20


@pytest.mark.parametrize('rule', ['layer-digest', 'path-escapes', 'config-digest', 'duplicate-entry'])
def test_text_output_and_exit_code(rule: str, occystrap: CommandLine, tmp_path: Path) -> None:
    parts = {**EVERYWHERE, **OF_BLOBS}[rule]()
    done = occystrap('check', put_in_oci_archive(parts, tmp_path, 'image'))
    assert done.code == (RULES[rule][0] is Level.ERROR)
    line = next(line for line in done.out.splitlines() if rule in line)
    assert line.startswith(RULES[rule][0].value) and 'Traceback' not in done.err
    assert ('layer 1' in line) == (rule != 'config-digest')
    assert done.err.splitlines()[-1].startswith('Summary: 1/1 image checked, ')


@pytest.mark.parametrize('rule', ['layer-missing', 'layer-size', 'layer-media-type', 'config-digest', 'layer-count',
                                  'history-count'])
def test_fast_finds_what_needs_no_layer(rule: str, occystrap: CommandLine, registry_factory: Callable[..., Registry],
                                        tmp_path: Path) -> None:
    registry = registry_factory()
    for source in ('registry', 'oci', 'layout'):
        parts = {**EVERYWHERE, **OF_BLOBS}[rule]()
        uri = put(source, parts, 'image', tmp_path, registry)
        images = json.loads(occystrap('check', '--fast', uri, '-O', 'json').out)['images']
        assert rule in {each['rule'] for each in images[0]['findings']}, source


def test_an_image_that_is_not_there(occystrap: CommandLine, registry: Registry) -> None:
    done = occystrap('check', f'registry://{registry.host}/nowhere:v1').assert_code(1)
    assert 'manifest-missing' in done.out and 'no such repository' in done.out
    done = occystrap('check', 'registry://127.0.0.1:1/x:v1', '--retries=0').assert_code(1)
    assert done.out == '' and '127.0.0.1:1' in done.err


def test_every_rule_is_documented_and_can_be_found() -> None:
    documented = Path('docs/checks.md').read_text()
    assert [rule for rule in RULES if f'`{rule}`' not in documented] == []
    planted = {rule for faults in SOURCES.values() for rule in faults}
    assert set(RULES) - planted == {
        'image-missing', 'image-invalid', 'index-invalid', 'index-missing', 'manifest-size',
        'platform-missing', 'entry-media-type', 'manifest-content-type', 'manifest-version', 'layer-left-out',
        'archive-lists-differ'}


def test_nothing_is_wrong_with_the_real_images(real_registry: Registry, real_archive: Path, occystrap: CommandLine,
                                               ) -> None:
    for source in (f'registry://{real_registry.host}/multi:v1',  # whose image for this machine is real:v1
                   f'tar://{real_archive}'):  # as Docker exports it
        done = occystrap('check', source).assert_success()
        assert done.out == '' and ', 0 errors, 0 warnings, ' in done.err


def test_images_of_a_daemon(docker_daemon: DockerDaemon, occystrap: CommandLine, tmp_path: Path) -> None:
    parts = EVERYWHERE['whiteout-without-target']()
    archive = put_in_docker_archive(parts, tmp_path, 'image').removeprefix('tar://')
    docker_daemon.run('load', '-q', '-i', archive)
    source = f'docker://planted/image:v1?socket={docker_daemon.socket}'
    finding, = occystrap('check', source, '-O', 'json').assert_success().json()['images'][0]['findings']
    assert (finding['rule'], finding['layer'], finding['path']) == ('whiteout-without-target', 1, 'etc/nothing')
    assert 'leave out --fast' in occystrap('check', '--fast', source).assert_code(2).err
