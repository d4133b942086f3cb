"""docs/air-gap.md, command by command: two registries that no network connects."""
import json
import os
import re
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from occystrap_core import Receipt
from occystrap_core.oci.media_types import OCI_INDEX
from tests.conftest import require_service
from tests.functional.archives import members, rebuild
from tests.services.cosign import cosign_program, make_keys, sign
from tests.services.registry import Registry
from tests.services.tiny_image import put_tiny_image
from tests.services.uploads import put_manifest

ROOT = Path(__file__).parents[2]
NAMES = [*(f'team/app-{number}' for number in range(12)), 'team/many']
BLOCK = re.compile(r'^```sh (\w+)\n(.*?)^```$', re.MULTILINE | re.DOTALL)


class Sites:
    """The directories of both sites, in which the commands of the guide run as they stand."""

    def __init__(self, directory: Path, near: Registry, far: Registry) -> None:
        self.near, self.far, self.directory = near, far, directory
        self.blocks = BLOCK.findall((ROOT / 'docs/air-gap.md').read_text())
        self.places = {'near': directory / 'near', 'far': directory / 'elsewhere/far'}
        for place in self.places.values():
            place.mkdir(parents=True)
        (self.places['far'] / 'usb').mkdir()

    def run(self, where: str, code: int = 0, *, commands: str = '') -> str:
        """Run the next block of the guide, which must be for this site, or other commands there; return what they say.
        """
        if not commands:
            found, commands = self.blocks.pop(0)
            assert found == where
        names = f'S={self.near.host}; D={self.far.host}; set -e\n'
        path = f'{ROOT / ".venv/bin"}:{cosign_program().parent}:{os.environ["PATH"]}'
        done = subprocess.run(['bash', '-c', names + commands], cwd=self.places[where], capture_output=True, text=True,
                              env={**os.environ, 'PATH': path, 'HOME': str(self.directory)}, timeout=120)
        assert done.returncode == code, f'{commands}\n{done.stdout}\n{done.stderr}'
        return done.stdout + done.stderr

    def carry(self, archive: str, *others: str) -> None:
        """Move the archive to the far side's medium, and what goes another way; the near side loses them."""
        near, far = self.places['near'], self.places['far']
        for name, there in ((archive, f'usb/{archive}'), *((each, each) for each in others)):
            (far / there).write_bytes((near / name).read_bytes())
        (near / archive).unlink()


@pytest.fixture
def sites(registry_factory: Callable[[], Registry], tmp_path: Path) -> Sites:
    """Two registries; the near one has 12 images and one of two platforms, two of them signed."""
    with require_service(lambda: nullcontext(cosign_program())):
        sites = Sites(tmp_path, registry_factory(), registry_factory())
    for name in NAMES[:-1]:
        put_tiny_image(sites.near, name, 'v1', files={'etc/name': name.encode()})
    images = [put_tiny_image(sites.near, 'team/many', architecture=each) for each in ('amd64', 'arm64')]
    index = {'schemaVersion': 2, 'mediaType': OCI_INDEX, 'manifests': images}
    put_manifest(sites.near, 'team/many', json.dumps(index).encode(), OCI_INDEX, 'v1')
    make_keys(sites.places['near'])
    sign(sites.places['near'], *(f'{sites.near.host}/{name}@{sites.near.tag_digest(name, "v1")}'
                                 for name in ('team/app-0', 'team/many')))
    return sites


def receipts(path: Path) -> list[Receipt]:
    return [Receipt.from_json(line) for line in path.read_bytes().splitlines()]


def carried_layers(archive: Path, receipt_file: Path) -> set[str]:
    there = members(archive)
    listed = {each.digest for receipt in receipts(receipt_file) for each in receipt.of_kind('layer')}
    return {each for each in listed if f'blobs/sha256/{each[7:]}' in there}


def assert_same(sites: Sites) -> None:
    for name in NAMES:
        tags = sites.near.tags(name)
        assert tags and tags == sites.far.tags(f'mirror/{name}')
        for tag in tags:
            assert sites.near.tag_digest(name, tag) == sites.far.tag_digest(f'mirror/{name}', tag)


def test_the_guide(sites: Sites) -> None:
    assert sites.blocks.pop(0)[0] == 'names'
    near = sites.places['near']
    output = sites.run('near')
    assert '13/13 verified' in output and 'Receipts: trip-1.receipt, sha256:' in output
    sites.run('near')
    assert (near / 'paper').read_text().strip() in output
    sites.carry('trip-1.tar', 'trip-1.receipt', 'paper', 'cosign.pub')
    layers = re.findall(r'13/13 images, (\d+) layers', output)
    for _ in range(3):
        output = sites.run('far')
        assert '13/13 verified' in output and re.findall(r'13/13 images, (\d+) layers', output) == layers
    assert_same(sites)
    damage_on_the_way(sites)
    put_tiny_image(sites.near, 'team/app-5', 'v1', files={'etc/name': b'changed'})
    changed = sites.near.tag_digest('team/app-5', 'v1')
    output = sites.run('near')
    assert '13/13 verified' in output and ' left out' in output
    layer, = carried_layers(near / 'trip-2.tar', near / 'trip-2.receipt')
    assert [each['digest'] for each in json.loads(sites.near.read_blob(changed))['layers']] == [layer]
    sites.carry('trip-2.tar', 'trip-2.receipt', 'paper')
    assert 'leaves out 1 of 1 layers' in sites.run('far', commands='occystrap info ./usb/trip-2.tar --platform=all')
    output = sites.run('far', 1, commands='occystrap process "tar://usb/trip-2.tar?referrers=true" layout://empty')
    assert output.count(' needs layer sha256:') >= 12 and '12 FAILED' in output  # the changed one has no other layer
    before = len(sites.far.requests())
    assert sites.run('far').count('13/13 verified') == 3
    uploads = [each for each in sites.far.requests()[before:] if re.match(r'PUT \S+/blobs/uploads/', each)]
    assert len(uploads) == 2, 'the changed layer and its config'
    assert_same(sites)
    assert not sites.blocks


def damage_on_the_way(sites: Sites) -> None:
    """One flipped bit is found by full, a missing blob by fast, other images with their own receipts by the paper."""
    far = sites.places['far']
    content = members(far / 'usb/trip-1.tar')
    layer = next(receipt for receipt in receipts(far / 'trip-1.receipt') if receipt.reference.endswith('app-7:v1')
                 ).of_kind('layer')[0].digest
    name = f'blobs/sha256/{layer[7:]}'
    raw = content[name]
    check = 'occystrap verify {} trip-1.receipt --at tar://usb/damaged.tar?format=oci'
    rebuild(far / 'usb/damaged.tar', {**content, name: raw[:-1] + bytes([raw[-1] ^ 1])})
    assert '13/13 verified' in sites.run('far', commands=check.format('--verify=fast'))
    output = sites.run('far', 1, commands=check.format('--full'))
    assert name in output and '12/13 verified, 1 FAILED' in output
    rebuild(far / 'usb/damaged.tar', {**content, name: None})
    output = sites.run('far', 1, commands=check.format('--verify=fast'))
    assert name in output and '12/13 verified, 1 FAILED' in output
    sites.run('far', commands='cp trip-1.receipt kept; occystrap process "tar://usb/trip-1.tar?image=**app-1:v1" '
              '"tar://usb/damaged.tar?format=oci&tag=team/app-2:v1" --force --receipt trip-1.receipt')
    output = sites.run('far', 1, commands='occystrap verify trip-1.receipt --expect "$(cat paper)"')
    assert 'it is not the file that was written' in output
    sites.run('far', commands='mv kept trip-1.receipt')
