"""What verification says of a daemon that has the image, and of each way in which it has not."""
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import Expectation, Receipt, VerifyLevel
from occystrap_core.oci import Digest
from occystrap_docker.plugin import verify_output
from tests.unit.docker.fake_daemon import FakeDaemon
from tests.unit.docker.layouts import LAYOUTS, Exported, blobs, containerd, double_tars, legacy, podman
from tests.unit.docker.runs import SETTINGS, at, findings

FAST, FULL = VerifyLevel.FAST, VerifyLevel.FULL
NAME = 'team/sample:v1'
both_levels = pytest.mark.parametrize('level', [FAST, FULL])
every_layout = pytest.mark.parametrize('layout', LAYOUTS)
by_config = pytest.mark.parametrize('layout', [legacy, blobs, podman])


def receipt(daemon: FakeDaemon) -> Receipt:
    """The receipt of an image of `double_tars`, as the writer makes it."""
    expected = legacy()
    layers = [Expectation('layer', Digest.of(tar), Digest.of(tar), len(tar)) for tar in dict.fromkeys(expected.tars)]
    return Receipt('docker', NAME, at(daemon, NAME).given, NAME, 'sample', expected.id, expected.diff_ids, (
        Expectation('config', expected.id, expected.id, len(expected.config)),
        Expectation('tag', NAME, expected.id, len(expected.config)), *layers))


def have(daemon: FakeDaemon, image: Exported) -> Exported:
    """Let the daemon have an image under the name."""
    daemon.containerd = image.id != Digest.of(image.config)
    return daemon.add(image, NAME)


@both_levels
@every_layout
def test_all_is_well(layout: Callable[[], Exported], level: VerifyLevel, daemon: FakeDaemon) -> None:
    have(daemon, layout())
    assert findings(receipt(daemon), level) == []


def test_fast_exports_nothing_where_the_id_says_it_all(daemon: FakeDaemon) -> None:
    have(daemon, legacy())
    findings(receipt(daemon), FAST)
    assert not any('/get' in request for request in daemon.requests)


@both_levels
@every_layout
def test_a_missing_image(layout: Callable[[], Exported], level: VerifyLevel, daemon: FakeDaemon) -> None:
    have(daemon, layout())
    daemon.images.clear()
    found = findings(receipt(daemon), level)
    assert found[0].startswith(f'error tag {NAME}: is missing')
    assert daemon.containerd or found[1].startswith(f'error image {receipt(daemon).image_id}: is missing')


@both_levels
@by_config
def test_a_missing_tag(layout: Callable[[], Exported], level: VerifyLevel, daemon: FakeDaemon) -> None:
    have(daemon, layout())
    daemon.tags.clear()
    assert [line.partition(' the ')[0] for line in findings(receipt(daemon), level)] == [
        f'error tag {NAME}: is missing:']


@both_levels
@every_layout
def test_a_tag_that_moved(layout: Callable[[], Exported], level: VerifyLevel, daemon: FakeDaemon) -> None:
    have(daemon, layout())
    other = daemon.add(blobs(double_tars('other')), NAME)
    expected = receipt(daemon)
    found = findings(expected, level)
    assert found[0] == f'error tag {NAME}: points at {other.id}, expected {expected.image_id}'
    assert not found[1:] or 'cannot be found: this daemon finds images by' in found[1]


@both_levels
def test_other_layers_than_the_receipt_s(level: VerifyLevel, daemon: FakeDaemon) -> None:
    image = have(daemon, legacy())
    daemon.images[image.id] = replace(image, tars=image.tars[:2])
    found = findings(receipt(daemon), level)
    assert any(f'error layer {Digest.of(image.tars[2])}: is not among the layers' in line for line in found)


@both_levels
def test_layers_in_another_order(level: VerifyLevel, daemon: FakeDaemon) -> None:
    image = have(daemon, legacy())
    daemon.images[image.id] = replace(image, tars=image.tars[::-1])
    found = findings(receipt(daemon), level)
    assert found[0].startswith(f'error image {image.id}: has layers {image.diff_ids[-1]}, ')


def change(image: Exported, before: bytes, after: bytes) -> Exported:
    return replace(image, archive=image.archive.replace(before, after, 1))


@by_config
def test_a_changed_layer_is_found_by_full(layout: Callable[[], Exported], daemon: FakeDaemon) -> None:
    image = layout()
    have(daemon, change(image, b'echo hello', b'echo hallo'))
    assert findings(receipt(daemon), FAST) == []
    found = findings(receipt(daemon), FULL)
    assert all(line.startswith('error layer') for line in found)
    assert any(f'layer {image.diff_ids[0]}: is missing from the daemon' in line for line in found)


@by_config
def test_a_changed_config_is_found_by_full(layout: Callable[[], Exported], daemon: FakeDaemon) -> None:
    image = layout()
    have(daemon, change(image, b'"Env":["PATH', b'"Env":["BATH'))
    found = findings(receipt(daemon), FULL)
    assert len(found) == 1 and found[0].startswith('error') and f'without the config of {image.id}' in found[0]


@both_levels
def test_another_config_behind_a_manifest_s_digest_is_found_by_both(level: VerifyLevel, daemon: FakeDaemon) -> None:
    have(daemon, containerd())
    config = legacy().config.replace(b'/usr/bin/hello', b'/usr/bin/hallo')
    expected = replace(receipt(daemon), expectations=(
        Expectation('config', Digest.of(config), Digest.of(config), len(config)),))
    expected = replace(expected, expectations=(*expected.expectations, *receipt(daemon).of_kind('tag', 'layer')))
    found = findings(expected, level)
    assert found == [f'error config {Digest.of(config)}: digest is {receipt(daemon).image_id}, '
                     f'expected {Digest.of(config)}']


@every_layout
def test_a_layer_that_is_not_exported_is_found_by_full(layout: Callable[[], Exported], daemon: FakeDaemon) -> None:
    image = layout()
    lost = Digest.of(b'lost')
    have(daemon, replace(image, tars=image.tars))
    expected = receipt(daemon)
    expected = replace(expected, expectations=(*expected.expectations, Expectation('layer', lost, lost, 4)))
    assert any(line.startswith(f'error layer {lost}: is missing from the daemon')
               for line in findings(expected, FULL))


@pytest.mark.parametrize(('fault', 'severity'), [
    ('500 file integrity checksum failed for "usr/bin/hello"', 'error'),
    ('500 open /var/lib/docker/overlay2/x/diff/etc/hostname: no such file or directory', 'error'),
    ('complain blob not found', 'error'),
    ('500 no space left on device', 'unverified'),
    ('cut 20000', 'unverified'),
    ('end 20000', 'unverified'),
    ('close', 'unverified'),
    ('hang', 'unverified'),
])
def test_an_export_that_fails(fault: str, severity: str, daemon: FakeDaemon) -> None:
    image = have(daemon, legacy())
    daemon.faults['get'] = fault
    found = findings(receipt(daemon), FULL)
    assert len(found) == 1 and found[0].startswith(f'{severity} image {image.id}: ')


@both_levels
@pytest.mark.parametrize('fault', ['500 tired', 'close', 'hang', 'garbage'])
def test_a_daemon_that_does_not_answer_proves_nothing(fault: str, level: VerifyLevel, daemon: FakeDaemon) -> None:
    have(daemon, legacy())
    daemon.faults['inspect'] = fault
    found = findings(receipt(daemon), level)
    assert len(found) == 1 and found[0].startswith('unverified')


def test_an_unreachable_daemon_is_unverified(daemon: FakeDaemon, directory: Path) -> None:
    gone = replace(receipt(daemon), options={'socket': str(directory / 'gone.sock')})
    found = findings(gone, FAST)
    assert len(found) == 1 and found[0].startswith('unverified') and 'gone.sock' in found[0]


def test_receipts_of_others_are_not_our_affair(daemon: FakeDaemon) -> None:
    assert verify_output(replace(receipt(daemon), scheme='dir'), FAST, SETTINGS) is None
