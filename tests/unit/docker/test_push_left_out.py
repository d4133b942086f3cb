"""Layers that the destination has are not pushed: reported, found there, never opened; the config is always pushed."""
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core import InvalidImage, Location, Receipt, ServiceError, Settings
from occystrap_core.image.derived import DerivedImage
from occystrap_core.oci import Digest
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_registry.writer import RegistryOutput
from tests.unit.docker.fake_daemon import FakeDaemon
from tests.unit.docker.fake_push import by_index
from tests.unit.docker.layouts import double_tars, legacy
from tests.unit.docker.runs import pushed


def test_a_second_copy_to_a_registry_pushes_no_layer(daemon: FakeDaemon, tmp_path: Path) -> None:
    image = daemon.add(legacy(), 'sample:v1')
    with RegistryServer(tmp_path / 'registry') as server:
        first = copied(daemon, tmp_path, server.host)
        assert daemon.progress.count('Pushed') == 3
        daemon.progress.clear()
        again = copied(daemon, tmp_path, server.host)
    assert daemon.progress.count('Layer already exists') == 3 and 'Pushed' not in daemon.progress
    assert again.image_id == image.id and list(again.diff_ids) == image.diff_ids
    assert again.of_kind('manifest')[0].digest == first.of_kind('manifest')[0].digest
    assert set(daemon.tags) == {'sample:v1'} and [path.name for path in tmp_path.iterdir()] == ['registry']


def test_a_filter_needs_the_bytes(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    with RegistryServer(tmp_path / 'registry') as server:
        copied(daemon, tmp_path, server.host)
        with pushed(daemon, tmp_path) as image:
            ImageCopy(DerivedImage(image), target(server.host), Settings(), 'dockerpush://sample').run()
    assert daemon.progress.count('Pushed') == 6


def test_a_new_tag_of_a_repository_that_has_the_layers(daemon: FakeDaemon, tmp_path: Path) -> None:
    """Small layers of a new tag are otherwise sent without asking for them, but these the source does not give."""
    daemon.add(legacy(), 'sample:v1')
    with RegistryServer(tmp_path / 'registry') as server:
        first = copied(daemon, tmp_path, server.host)
        second = copied(daemon, tmp_path, server.host, 'v2')
    assert daemon.progress.count('Layer already exists') == 3 and first.manifest_digest == second.manifest_digest


def copied(daemon: FakeDaemon, temporary: Path, host: str, tag: str = 'v1') -> Receipt:
    with pushed(daemon, temporary) as image:
        return ImageCopy(image, target(host, tag), Settings(), 'dockerpush://sample').run()


def target(host: str, tag: str = 'v1') -> RegistryOutput:
    options = {'insecure': False, 'username': None, 'password': None, 'compression': 'gzip'}
    return RegistryOutput(Location('registry', f'{host}/sample:{tag}', options, {}), Settings())


@pytest.mark.parametrize(('at_destination', 'there'), [(lambda digest: 100, True), (lambda digest: None, False)])
def test_left_out_layers_cannot_be_opened(at_destination: Callable[[Digest], int | None], there: bool,
                                          daemon: FakeDaemon, tmp_path: Path) -> None:
    expected = daemon.add(legacy(), 'sample:v1')
    with pushed(daemon, tmp_path) as image:
        layers = list(image.arrivals_beside(at_destination))
    assert [layer.diff_id for layer in layers] == list(dict.fromkeys(expected.diff_ids))
    assert image.config.raw == expected.config
    for layer in layers if there else ():
        with pytest.raises(InvalidImage, match='was not pushed, as the destination had it, and was removed'):
            layer.stored()


def test_a_destination_that_cannot_be_asked_gets_all(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')

    def broken(digest: Digest) -> int | None:
        raise ServiceError('out of order')

    with pushed(daemon, tmp_path) as image:
        assert len(list(image.arrivals_beside(broken))) == 3
    assert daemon.progress.count('Pushed') == 3


def test_nothing_is_left_out_where_ids_are_those_of_manifests(daemon: FakeDaemon, tmp_path: Path) -> None:
    expected, daemon.containerd = daemon.add(by_index(double_tars()), 'sample:v1'), True
    with pushed(daemon, tmp_path) as image:
        assert len(list(image.arrivals_beside(lambda digest: 100))) == 3
    assert image.config.raw == expected.config and daemon.progress.count('Pushed') == 3
