"""docker:// is held to the rules that authors of plugins get as a kit; all of them with OCCYSTRAP_TEST_ALL=1."""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from occystrap_core import Receipt, VerifyLevel
from occystrap_core.testing.damage import Damage
from occystrap_core.testing.input_conformance import InputConformance
from occystrap_core.testing.writer_conformance import WriterConformance
from tests.services.docker_daemon import DockerDaemon
from tests.services.requirements import EVERYTHING

OFTEN = ('fast_verification', '_compared_', 'another_process', 'wrong_bytes', '[sample]', '[same_layer_twice]')
"""Parts of the names of tests that always run: a daemon takes a third of a second to load an image."""


class InDaemon:
    """A name for each test, in a daemon that is shared."""

    uri = source_uri = ''

    @pytest.fixture(autouse=True)
    def _daemon(self, docker26_daemon: DockerDaemon, request: pytest.FixtureRequest) -> None:
        if not EVERYTHING and not any(each in request.node.name for each in OFTEN):
            pytest.skip('for OCCYSTRAP_TEST_ALL=1')
        self.daemon = docker26_daemon
        self.uri = self.source_uri = f'docker://{{name}}:v1?host={docker26_daemon.address}'


class TestDocker(InDaemon, WriterConformance):
    inapplicable = {'no_layers': 'Docker loads no image without layers', 'many_layers': 'overlay2 has room for fewer'}
    reports_only = True

    def damages(self, directory: Path, receipt: Receipt) -> Sequence[Damage]:
        """The tag is gone, or means another image."""
        tag, = receipt.of_kind('tag')
        return [Damage('tag removed', VerifyLevel.FAST, partial(self._untagged, tag.locator))]

    @contextmanager
    def _untagged(self, name: str) -> Iterator[None]:
        self.daemon.run('tag', name, 'kit-aside:v1')
        self.daemon.run('rmi', name)
        yield
        self.daemon.run('tag', 'kit-aside:v1', name)


class TestDockerInput(InDaemon, InputConformance):
    inapplicable = TestDocker.inapplicable
    reads_all_to_open = True


class TestDockerPushInput(TestDockerInput):
    """What the daemon pushes to the input; it is put there by docker://."""

    @pytest.fixture(autouse=True)
    def _pushed(self, _daemon: None) -> None:
        self.written, self.uri = self.uri, self.uri.replace('docker://', 'dockerpush://')
