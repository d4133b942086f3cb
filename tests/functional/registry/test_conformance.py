"""registry:// is held to the rules that authors of plugins get as a kit, at the registry that occystrap brings."""
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from occystrap_core import Receipt, Settings
from occystrap_core.testing.conformance import files_below, uri_fields
from occystrap_core.testing.damage import Damage, damages_of_files
from occystrap_core.testing.input_conformance import InputConformance
from occystrap_core.testing.writer_conformance import WriterConformance
from occystrap_registry.server.server_thread import RegistryServer


@pytest.fixture(scope='module')
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address and the storage of a registry."""
    storage = tmp_path_factory.mktemp('registry')
    with RegistryServer(storage) as server:
        yield server.host, storage


class InRegistry:
    """A repository for each test."""

    settings = Settings(sync=False, timeout=5.0, retries=0)
    storage = Path()
    uri = ''

    @pytest.fixture(autouse=True)
    def _serve(self, served: tuple[str, Path]) -> None:
        host, self.storage = served
        self.uri = f'registry://{host}/{{name}}:v1'

    def repository(self, directory: Path) -> Path:
        """Return where the registry keeps what a test has pushed."""
        return self.storage / 'repositories' / uri_fields(directory)['name']


class TestRegistry(InRegistry, WriterConformance):
    secret_uri = 'registry://somebody:{canary}@localhost:1/{name}:v1'

    def content(self, directory: Path) -> Mapping[str, object]:
        """Tags and manifests: what a failed run has pushed of layers is nobody's, and collected as garbage."""
        return {name: each for name, each in files_below(self.repository(directory)).items()
                if name.startswith(('_tags/', '_manifests/'))}

    def damages(self, directory: Path, receipt: Receipt) -> Sequence[Damage]:
        """Damage to the stored blobs, which the registry serves as they are."""
        blobs = self.repository(directory) / '_layout/blobs/sha256'
        return damages_of_files(self.storage, sorted(blobs.iterdir()))


class TestRegistryInput(InRegistry, InputConformance):
    inapplicable = {'many_layers': 'TestRegistry reads them back'}
