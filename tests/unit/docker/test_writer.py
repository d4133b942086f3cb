"""docker:// as a destination, against a daemon that does as it should, and one that does not."""
import io
import resource
import signal
import tarfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from occystrap_core import (
    Cancelled, Image, Location, OccystrapError, OutputError, ServiceError, ServiceUnavailable, Settings, UsageError,
    VerifyLevel,
)
from occystrap_core.image.derived import DerivedImage
from occystrap_core.oci import Digest, ImageConfig, Reference
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.tar import TarLayer
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from occystrap_docker.daemon.image_list import ImageFacts
from occystrap_docker.writer import DockerWriter
from tests.unit.docker.fake_daemon import FakeDaemon, fake_daemon
from tests.unit.docker.layouts import LAYOUTS, Exported, blobs, legacy
from tests.unit.docker.runs import SETTINGS, at, findings, source, write

ID = Digest.of(sample_config())


@pytest.mark.parametrize('stored', [True, False])
def test_the_image_arrives_with_its_tag(stored: bool, daemon: FakeDaemon, tmp_path: Path) -> None:
    receipt = write(daemon, tmp_path, sample_image(stored=stored))
    assert daemon.tags == {'team/sample:v1': ID}
    assert daemon.images[ID].config == sample_config() and list(daemon.images[ID].tars) == sample_layers()
    assert receipt.image_id == ID and str(receipt.reference) == 'team/sample:v1'
    assert [(each.kind, each.locator, each.digest) for each in receipt.expectations] == [
        ('config', ID, ID), ('tag', 'team/sample:v1', ID),
        *(('layer', Digest.of(tar), Digest.of(tar)) for tar in sample_layers())]


@pytest.mark.parametrize('layout', LAYOUTS)
def test_from_one_daemon_to_another_name(layout: Callable[[], Exported], daemon: FakeDaemon, tmp_path: Path) -> None:
    image = daemon.add(layout(), 'sample:v1')
    with source(daemon) as opened:
        write(daemon, tmp_path, opened)
    assert list(daemon.images[daemon.tags['team/sample:v1']].tars) == list(image.tars)


def test_a_tag_left_out_is_latest(daemon: FakeDaemon, tmp_path: Path) -> None:
    write(daemon, tmp_path, name='localhost:5000/team/sample')
    assert daemon.tags == {'localhost:5000/team/sample:latest': ID}


def test_the_receipt_names_the_daemon_that_docker_host_named(daemon: FakeDaemon, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DOCKER_HOST', daemon.address)
    output = DockerWriter(Location('docker', 'sample:v1', {}, {}), SETTINGS)
    assert output.location.given == {'host': daemon.address}


def hinted(*hints: int | None) -> Image:
    """The sample image, with such hints of its layers' sizes."""
    tars = sample_layers()
    layers = [TarLayer(number, Digest.of(tar), partial(io.BytesIO, tar), hint)
              for number, (tar, hint) in enumerate(zip(tars, hints, strict=True))]
    return Image(Reference.parse('sample:v1'), ImageConfig.parse(sample_config()), layers)


def test_nothing_temporary_is_written_where_sizes_are_known(daemon: FakeDaemon, tmp_path: Path) -> None:
    write(daemon, tmp_path / 'missing', hinted(*map(len, sample_layers())))
    assert daemon.tags == {'team/sample:v1': ID}


@pytest.mark.parametrize('wrong', [None, 0, 512, 1 << 20])
def test_a_size_that_is_unknown_or_wrong_makes_no_difference(wrong: int | None, daemon: FakeDaemon, tmp_path: Path,
                                                             ) -> None:
    write(daemon, tmp_path, hinted(*(wrong for _ in sample_layers())))
    assert list(daemon.images[daemon.tags['team/sample:v1']].tars) == sample_layers()
    assert not list(tmp_path.iterdir())


def archive_names(daemon: FakeDaemon) -> set[str]:
    """The names of the layers in the archive that a daemon got last."""
    body = list(daemon.images.values())[-1].archive
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        return {name.partition('/')[0] for name in archive.getnames() if name.endswith('/layer.tar')}


@pytest.mark.parametrize(('engine', 'containerd', 'sent'), [('Engine', False, 1), ('Engine', True, 3),
                                                            ('Podman Engine', False, 3)])
def test_layers_upon_the_same_lower_ones_are_sent_only_where_they_must(
        engine: str, containerd: bool, sent: int, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.engine, daemon.containerd = engine, containerd
    tars = sample_layers()
    assert len(tars) == 3
    base = Exported(Digest.of(b'base'), sample_config(tars[:2]), tars[:2], b'')
    daemon.add(base, 'base:v1')
    receipt = write(daemon, tmp_path, hinted(*map(len, tars)))
    assert len(archive_names(daemon)) == sent
    assert list(daemon.images[ID].tars) == tars
    assert [each.digest for each in receipt.of_kind('layer')] == [Digest.of(tar) for tar in tars]
    assert not findings(receipt, VerifyLevel.FAST)


@pytest.mark.parametrize(('layout', 'filtered', 'sent'), [(blobs, False, 1), (blobs, True, 3), (legacy, False, 3)])
def test_only_missing_layers_are_taken_from_another_daemon(
        layout: Callable[[Sequence[bytes]], Exported], filtered: bool, sent: int, daemon: FakeDaemon, directory: Path,
        tmp_path: Path) -> None:
    tars = sample_layers()
    daemon.add(Exported(Digest.of(b'base'), sample_config(tars[:2]), tars[:2], b''), 'base:v1')
    with fake_daemon(directory / 'other.sock') as other:
        other.add(layout(tars), 'sample:v1')
        with source(other) as image:
            receipt = write(daemon, tmp_path, DerivedImage(image) if filtered else image)
    assert len(archive_names(daemon)) == sent and list(daemon.images[ID].tars) == tars
    assert [each.digest for each in receipt.of_kind('layer')] == [Digest.of(tar) for tar in tars]


def test_a_layer_upon_other_lower_ones_is_sent(daemon: FakeDaemon, tmp_path: Path) -> None:
    tars = sample_layers()
    daemon.add(Exported(Digest.of(b'base'), sample_config(tars[1:]), tars[1:], b''), 'base:v1')
    write(daemon, tmp_path, hinted(*map(len, tars)))
    assert archive_names(daemon) == {Digest.of(tar).hex for tar in tars}


def test_a_layer_that_comes_again_is_sent_for_its_second_place(daemon: FakeDaemon, tmp_path: Path) -> None:
    first, second, third = sample_layers()
    daemon.add(Exported(Digest.of(b'base'), sample_config([first]), [first], b''), 'base:v1')
    tars = [first, second, first]
    layers = [TarLayer(number, Digest.of(tar), partial(io.BytesIO, tar), len(tar)) for number, tar in enumerate(tars)]
    write(daemon, tmp_path, Image(Reference.parse('sample:v1'), ImageConfig.parse(sample_config(tars)), layers))
    assert archive_names(daemon) == {Digest.of(first).hex, Digest.of(second).hex}


@pytest.mark.parametrize('name', ['Bad/Name', 'sample:v1@' + ID, 'sample:'])
def test_names_that_cannot_be_tagged_are_usage_errors(name: str, daemon: FakeDaemon) -> None:
    with pytest.raises(UsageError):
        DockerWriter(at(daemon, name), SETTINGS)


def test_without_a_daemon_nothing_is_read(directory: Path, tmp_path: Path) -> None:
    image = sample_image()
    output = DockerWriter(at(str(directory / 'no.sock'), 'sample:v1'), SETTINGS)
    with pytest.raises(ServiceUnavailable, match='no Docker or Podman daemon answers'):
        output.prepare(image)
    output.abort()


def test_a_file_that_is_no_socket_is_named(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    with pytest.raises(ServiceUnavailable, match=f'unix://{tmp_path}/file is not a socket: give the socket'):
        DockerWriter(at(f'{tmp_path}/file', 'sample:v1'), SETTINGS).prepare(sample_image())


def test_a_temporary_directory_that_is_not_there_says_what_to_do(daemon: FakeDaemon, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match='--temp-dir'):
        write(daemon, tmp_path / 'missing', hinted(None, None, None))


@pytest.mark.parametrize(('where', 'fault', 'kind', 'words'), [
    ('load', '500 no space left on device', OutputError, 'refused the image: no space left on device'),
    ('load', 'close', ServiceUnavailable, 'failed while loading the image'),
    ('load', 'hang', ServiceUnavailable, 'did not answer in time while loading the image'),
    ('load', 'garbage', ServiceUnavailable, 'did not report that it loaded'),
    ('made', 'another', OutputError, f'loaded image sha256:.*, expected {ID}: it was not tagged'),
    ('tag', '500 no tags today', ServiceUnavailable, 'refused tagging team/sample:v1: no tags today'),
    ('inspect', '500 broken', ServiceUnavailable, 'refused inspecting'),
])
def test_faults_leave_old_tag_and_no_new_image(where: str, fault: str, kind: type[OccystrapError], words: str,
                                               daemon: FakeDaemon, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('occystrap_docker.writer._CLEANING', 0.2)
    old = daemon.add(legacy(), 'team/sample:v1')
    daemon.faults[where] = fault
    with pytest.raises(kind, match=words) as error:
        write(daemon, tmp_path)
    assert '\n' not in str(error.value) and daemon.address in str(error.value)
    assert daemon.tags == {'team/sample:v1': old.id}
    assert where == 'made' or set(daemon.images) == {old.id}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('where', ['made', 'tag'])
def test_an_image_that_somebody_removes_before_it_is_tagged(where: str, daemon: FakeDaemon, tmp_path: Path) -> None:
    """As `docker image prune` does; the source is not what lacks an image."""
    daemon.faults[where] = 'pruned'
    with pytest.raises(ServiceError, match=f'loaded image {ID}, and lost it .* tagged .*`docker image prune`: try'):
        write(daemon, tmp_path)
    assert not daemon.tags and not daemon.images


@pytest.mark.parametrize(('words', 'said'), [
    ('open /tmp/layer.tar: no such file or directory', True), ('cannot load windows image on linux', False)])
def test_a_layer_that_was_left_out_is_blamed_only_if_one_is_missing(words: str, said: bool, daemon: FakeDaemon,
                                                                    tmp_path: Path) -> None:
    write(daemon, tmp_path)
    daemon.faults['load'] = f'500 {words}'
    with pytest.raises(OutputError, match=words) as error:
        write(daemon, tmp_path, hinted(*map(len, sample_layers())))
    assert any('may have been removed' in note for note in getattr(error.value, '__notes__', ())) is said


def test_an_image_that_cannot_be_removed_is_reported(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.faults |= {'tag': '500 no tags today', 'untag': '409 in use'}
    with pytest.raises(ServiceUnavailable, match=f'no tags today.*: in use; image {ID} is left without a name'):
        write(daemon, tmp_path)


def test_an_image_that_appears_after_the_timeout_is_removed(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.faults['load'] = 'late'
    with pytest.raises(ServiceUnavailable, match='did not answer in time while loading the image: see') as error:
        write(daemon, tmp_path)
    assert 'may still load' not in str(error.value) and not daemon.images
    assert [each for each in daemon.requests if each.startswith('DELETE')]


def test_a_signal_while_the_daemon_names_the_image_leaves_it_without(daemon: FakeDaemon, tmp_path: Path) -> None:
    old = daemon.add(legacy(), 'team/sample:v1')
    settings = Settings(sync=False, timeout=9, temporary=str(tmp_path))
    image, output = sample_image(), DockerWriter(at(daemon, 'team/sample:v1'), settings)
    require = output._daemon.require

    def found(name: str) -> ImageFacts:
        settings.cancellation.cancel()
        return require(name)
    output._daemon.require = found  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        ImageCopy(image, output, settings, 'sample').run()
    assert daemon.tags == {'team/sample:v1': old.id} and set(daemon.images) == {old.id}


@pytest.mark.parametrize('there', [False, True])
def test_an_image_that_may_still_appear_is_reported(there: bool, daemon: FakeDaemon, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('occystrap_docker.writer._CLEANING', 0.3)
    if there:
        write(daemon, tmp_path)
        daemon.tags.clear()
    daemon.faults['load'], daemon.hang = 'late', 3
    with pytest.raises(ServiceUnavailable) as error:
        write(daemon, tmp_path)
    warning = f'may still load it as untagged {ID}: `docker images --filter dangling=true` lists'
    assert (warning in str(error.value)) is not there
    assert set(daemon.images) == ({ID} if there else set())


def test_an_image_that_was_there_before_survives_a_failure(daemon: FakeDaemon, tmp_path: Path) -> None:
    write(daemon, tmp_path)
    daemon.tags.clear()
    daemon.faults['tag'] = '500 no tags today'
    with pytest.raises(ServiceUnavailable):
        write(daemon, tmp_path)
    assert set(daemon.images) == {ID}


def test_a_broken_source_leaves_nothing(daemon: FakeDaemon, tmp_path: Path) -> None:
    image = daemon.add(legacy(), 'sample:v1')
    daemon.faults['get'] = f'end {len(image.archive) // 2}'
    with source(daemon) as opened, pytest.raises(ServiceUnavailable):
        write(daemon, tmp_path, opened)
    assert set(daemon.tags) == {'sample:v1'} and set(daemon.images) == {image.id}
    assert not list(tmp_path.iterdir())


def test_a_full_temporary_directory_says_what_to_do(daemon: FakeDaemon, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1]))
    try:
        with pytest.raises(OutputError, match='File too large.*--temp-dir'):
            write(daemon, tmp_path, hinted(*(None for _ in sample_layers())))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir()) and not daemon.images


def test_aborting_before_anything_was_done(daemon: FakeDaemon) -> None:
    DockerWriter(at(daemon, 'sample:v1'), SETTINGS).abort()
    assert isinstance(sample_image(), Image) and not daemon.requests
