"""What is made of a daemon's inspect and history, also of odd ones."""
from typing import Any

import pytest

from occystrap_core import ServiceUnavailable
from occystrap_core.image.description import describe_reported
from occystrap_core.image.sequential_image import SequentialImage
from occystrap_core.oci import Digest, Platform, Reference
from occystrap_docker.daemon.image_list import ImageFacts
from occystrap_docker.daemon.reported import reported

LAYERS = tuple(Digest.of(each) for each in (b'1', b'2'))


class Saying:
    """A daemon that says this."""

    names_images_by_manifest = False

    def __init__(self, document: dict[str, Any], history: list[dict[str, Any]]) -> None:
        self._document, self._history = document, history

    def description(self, image_id: Digest) -> dict[str, Any]:
        return self._document

    def history(self, image_id: Digest) -> list[dict[str, Any]]:
        return self._history


def shown(daemon: Saying) -> dict[str, Any]:
    facts = ImageFacts(Digest.of(b'config'), LAYERS, ('app:v1',), 7, Platform('linux', 'arm64', 'v8'))
    image = SequentialImage(Reference('app', 'v1'), LAYERS, facts.platform)
    return describe_reported(image, reported(daemon, facts))  # type: ignore[arg-type]


@pytest.mark.parametrize(('sizes', 'of_layers'), [
    ([5, 2], [0, 1]), ([5, 0], [0, 1]), ([5, 0, 2], [0, None, 1]), ([0, 5, 0, 2, 0], [None, 0, None, 1, None]),
    ([5, 0, 0], [None, None, None, 0, 1]), ([5, 1, 2], [None, None, None, 0, 1]), ([], [0, 1]),
    (['5', None, True], [None, None, None, 0, 1])])
def test_steps_have_their_layers_where_that_can_be_told(sizes: list[Any], of_layers: list[int | None]) -> None:
    steps = [{'CreatedBy': f'RUN {number}', 'Size': size} for number, size in enumerate(sizes)]
    found = shown(Saying({}, steps))['layers']
    assert [each.get('diff_id') for each in found] == [
        None if number is None else LAYERS[number] for number in of_layers]
    assert [each['created_by'] for each in found if 'created_by' in each] == [each['CreatedBy'] for each in steps]


@pytest.mark.parametrize('document', [{}, {'Config': None, 'RepoDigests': None}, {'Config': [], 'RepoDigests': [1]}])
def test_a_daemon_that_says_little(document: dict[str, Any]) -> None:
    found = shown(Saying(document, [{}]))
    assert found['platform'] == 'linux/arm64/v8' and found['size'] == 7 and found['digests'] == []
    assert found['image_id'] == Digest.of(b'config') and found['digest'] is None and found['labels'] is None


def test_a_daemon_that_fails_to_tell_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Saying, image_id: Digest) -> list[dict[str, Any]]:
        raise ServiceUnavailable('nil pointer dereference')
    monkeypatch.setattr(Saying, 'history', fail)
    found = shown(Saying({}, []))
    assert [each['diff_id'] for each in found['layers']] == [*LAYERS]
    assert found['note'].endswith('it did not give the history: nil pointer dereference')
