"""Twelve images of a mirror damaged in twelve ways: `occystrap verify` names exactly those."""
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.many.mirroring import (
    AT_ONCE, DIRECTORY, assert_all_verified, failed_images, mirror_at,
)
from tests.services.command_line import CommandLine, CommandResult
from tests.services.many_images import ManyImages
from tests.services.registry import Registry

Receipts = dict[str, dict[str, Any]]


def read_receipts(path: Path) -> Receipts:
    """Return the receipts by the image's name without its host."""
    receipts = [json.loads(line) for line in path.read_text().splitlines()]
    return {receipt['reference'].partition('/')[2]: receipt for receipt in receipts}


def expectation(receipt: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the last expectation of a kind: of the layers that is the one that no other image has."""
    found: dict[str, Any] = [each for each in receipt['expectations'] if each['kind'] == kind][-1]
    return found


def assert_names_exactly(result: CommandResult, damaged: set[str], many: ManyImages) -> None:
    """Fail unless the damaged images, and no others, are listed as failed."""
    result.assert_code(1)
    good = len(many.names) - len(damaged)
    assert failed_images(result) == damaged, result
    assert f', {good}/{len(many.names)} verified, ' in result.err.splitlines()[-1], result


def flip(path: Path) -> None:
    """Flip a bit in the middle; the size stays."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Cut the last byte off."""
    os.truncate(path, path.stat().st_size - 1)


def damage_registry(registry: Registry, receipts: Receipts, names: list[str]) -> None:
    """Damage twelve images, each in its own way; what they share with others stays whole."""
    def path(number: int, kind: str) -> Path:
        return registry.blob_path(expectation(receipts[names[number]], kind)['digest'])
    for number, kind in enumerate(('manifest', 'config', 'layer')):
        for each, damage in enumerate((Path.unlink, cut, flip)):
            damage(path(3 * number + each, kind))
    another = registry.tag_digest(*names[12].split(':'))
    registry.link_manifest(*names[9].split(':'), another)
    registry.unlink_tag(*names[10].split(':'))
    registry.unlink_blob(names[11].partition(':')[0], expectation(receipts[names[11]], 'layer')['digest'])


def test_in_a_registry(many: ManyImages, many_source: Registry, destination: Registry, listed: Callable[[str], str],
                       occystrap: CommandLine) -> None:
    assert_all_verified(occystrap(
        'process', listed(many_source.host), mirror_at(destination.host), *AT_ONCE, '--receipt', 'receipts'), many)
    assert_all_verified(occystrap('verify', '--verify=full', 'receipts'), many)
    receipts = read_receipts(occystrap.directory / 'receipts')
    names = [f'mirror/{name}' for name in many.names[-13:]]
    damage_registry(destination, receipts, names)
    assert_names_exactly(occystrap('verify', '--verify=full', 'receipts', '-J', '8'), set(names[:12]), many)
    seen_fast = set(names[:12]) - {names[8]}
    assert_names_exactly(occystrap('verify', 'receipts'), seen_fast, many)


def damage_directory(directory: Path, receipts: Receipts, names: list[str]) -> None:
    """Damage twelve images, each in its own way; what they share with others stays whole."""
    def path(number: int, kind: str) -> Path:
        return directory / str(expectation(receipts[names[number]], kind)['locator'])
    for number, kind in enumerate(('manifest', 'config', 'layer')):
        for each, damage in enumerate((Path.unlink, cut, flip)):
            damage(path(3 * number + each, kind))
    forget_in_catalog(directory, names[9])
    path(10, 'manifest').write_bytes(path(12, 'manifest').read_bytes())
    moved = path(11, 'layer').rename(directory.parent / 'moved.tar')
    path(11, 'layer').symlink_to(moved)


def forget_in_catalog(directory: Path, name: str) -> None:
    """Take an image out of the catalog."""
    catalog = json.loads((directory / 'catalog.json').read_text())
    repository, _, tag = name.partition(':')
    del catalog[repository][tag]
    (directory / 'catalog.json').write_text(json.dumps(catalog))


@pytest.mark.parametrize('target', ['receipts', 'dir://out'])
def test_in_a_directory(target: str, many: ManyImages, many_source: Registry, listed: Callable[[str], str],
                        occystrap: CommandLine) -> None:
    assert_all_verified(
        occystrap('process', listed(many_source.host), DIRECTORY, *AT_ONCE, '--receipt', 'receipts'), many)
    assert_all_verified(occystrap('verify', '--verify=full', target), many)
    receipts = read_receipts(occystrap.directory / 'receipts')
    names = list(many.names[-13:])
    damage_directory(occystrap.directory / 'out', receipts, names)
    assert_names_exactly(occystrap('verify', '--verify=full', target, '-J', '8'), set(names[:12]), many)
    assert_names_exactly(occystrap('verify', target), set(names[:12]) - {names[8]}, many)
