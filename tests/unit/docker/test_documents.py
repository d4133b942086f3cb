"""Which image an export's documents lead to."""
import json
from typing import Any

import pytest

from occystrap_core.oci import Descriptor, Digest, ImageConfig, Index, Manifest, Platform
from occystrap_docker.export.documents import Documents

MANIFEST, CONFIG = 'application/vnd.oci.image.manifest.v1+json', 'application/vnd.oci.image.config.v1+json'


def config(architecture: str, **more: Any) -> bytes:
    return json.dumps({'os': 'linux', 'architecture': architecture, **more,
                       'rootfs': {'type': 'layers', 'diff_ids': []}}).encode()


def documents(configs: list[tuple[bytes, Platform | None]]) -> tuple[Documents, Digest]:
    """An index of images without layers; returns its digest, too."""
    found, entries = Documents(), []
    for raw, platform in configs:
        manifest = Manifest.build(Descriptor(CONFIG, Digest.of(raw), len(raw)), []).raw
        entries.append(Descriptor(MANIFEST, Digest.of(manifest), len(manifest), platform))
        found.add(raw)
        found.add(manifest)
    index = Index.build(entries)
    found.add(index.raw)
    return found, index.digest


@pytest.mark.parametrize('turned', [False, True])
@pytest.mark.parametrize('requested', [Platform('linux', 'amd64'), Platform('linux', 'amd64', 'v3')])
def test_of_configs_with_the_same_layers_the_one_that_fits_best(requested: Platform, turned: bool) -> None:
    there = [config('amd64', variant='v3'), config('amd64'), config('arm64')]
    found, root = documents([(raw, None) for raw in (there[::-1] if turned else there)])
    chosen = found.config(root, [], requested)
    assert chosen and chosen.raw == there[requested.variant == '']


def test_a_field_that_is_null_says_nothing() -> None:
    raw = config('amd64', variant=None)
    found, root = documents([(raw, None)])
    assert found.config(root, [], Platform('linux', 'amd64')) == ImageConfig.parse(raw)
    assert [each.descriptor.platform for each in found.images(root)] == [Platform('linux', 'amd64')]


def test_a_platform_that_cannot_be_read_fits_worst() -> None:
    odd, right = config('amd64', variant=5), config('amd64')
    found, root = documents([(odd, None), (right, None)])
    assert found.config(root, [], Platform('linux', 'amd64')) == ImageConfig.parse(right)
    assert [each.config.raw for each in found.images(root)] == [right] and 'not a string' in found.trouble


def test_one_manifest_for_two_platforms() -> None:
    platforms = [Platform('linux', 'arm', 'v6'), Platform('linux', 'arm', 'v7')]
    found, root = documents([(config('arm'), each) for each in platforms])
    assert [each.descriptor.platform for each in found.images(root)] == platforms


def test_an_entry_with_an_empty_platform_has_that_of_the_config() -> None:
    found, root = documents([(config('arm64'), Platform('', ''))])
    assert [each.descriptor.platform for each in found.images(root)] == [Platform('linux', 'arm64')]


def test_indexes_that_hold_themselves_or_many_end() -> None:
    found, root = documents([(config('arm64'), None)])
    for _ in range(50):
        index = Index.build([Descriptor('application/vnd.oci.image.index.v1+json', root, 1)] * 2)
        found.add(index.raw)
        root = index.digest
    assert len(list(found.images(root))) == 1
