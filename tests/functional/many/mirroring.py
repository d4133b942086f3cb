"""Mirroring the set, and what users see of it."""
import re
from pathlib import Path

from tests.services.command_line import CommandResult
from tests.services.faults import FaultProxy
from tests.services.many_images import ManyImages
from tests.services.registry import Registry

AT_ONCE = ('-J', '8', '-j', '8')
DIRECTORY = 'dir://out?unique_names=true'


def mirror_at(host: str) -> str:
    """The destination that mirrors the set to a registry."""
    return f'registry://{host}/mirror/{{repository}}:{{tag}}'


def assert_all_verified(result: CommandResult, many: ManyImages) -> None:
    """Fail unless the command says that every image was proved to be there."""
    count = len(many.names)
    lines = result.assert_success().err.splitlines()
    assert lines[-1].startswith(f'Summary: {count}/{count} images, '), result
    assert lines[-1].endswith(f', {count}/{count} verified'), result
    assert 'No failed images.' in lines, result


def counted(result: CommandResult, what: str) -> int:
    """Return a number of the summary line: `counted(result, 'rate limit')`, also where it says `rate limits`."""
    one, many = {'retry': ('retry', 'retries'), 'rate limit': ('rate limit', 'rate limits')}[what]
    found = re.search(rf', (\d+) (?:{one}|{many})\b', result.err.splitlines()[-1])
    return int(found[1]) if found else 0


def counted_before(result: CommandResult) -> int:
    """Return how many images the summary counts as unchanged since an earlier run."""
    found = re.search(r', (\d+) unchanged\b', result.err.splitlines()[-1])
    return int(found[1]) if found else 0


def failed_images(result: CommandResult) -> set[str]:
    """Return the images that the output lists as failed, without their host: `mirror/team/app-001:v1`."""
    found = re.findall(r'^FAILED (?:[\d.]+:\d+/)?(\S+): ', result.err, re.MULTILINE)
    assert len(found) == len(set(found)), result
    return set(found)


def assert_copied(many: ManyImages, destination: Registry) -> None:
    """Fail unless the destination's storage has every image's manifest under its tag, and every blob of it."""
    there = destination.blobs()
    for name in many.names:
        repository, _, tag = f'mirror/{name}'.partition(':')
        assert destination.tag_digest(repository, tag) == many.manifest_digest(name)
        assert {many.manifest(name)['config']['digest'], *many.layers(name)} <= there


def layer_reads(many: ManyImages, proxy: FaultProxy) -> dict[str, int]:
    """Return how often each layer was read through a proxy."""
    reads = proxy.blob_reads()
    return {digest: reads[digest] for digest in many.uses() if reads[digest]}


def layers_in(directory: Path) -> set[str]:
    """Return the diff_ids of the layers in a directory written by `dir://`."""
    return {f'sha256:{path.parent.name}' for path in directory.glob('*/layer.tar')}
