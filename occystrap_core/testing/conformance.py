"""What all conformance classes share: the plugin under test, and copying and verifying with it as the core does."""
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.api.uri import Location
from occystrap_core.cancellation import Cancellation
from occystrap_core.image.image import Content, Image
from occystrap_core.name_memory import NameMemory
from occystrap_core.oci.reference import Reference
from occystrap_core.pipeline.index_copy import copy_of
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import destination_location, open_output
from occystrap_core.receipts.destination_check import verify_receipt
from occystrap_core.settings import RequestStats, Settings, Shared, VerifyLevel
from occystrap_core.testing.sample import SAMPLE
from occystrap_core.testing.tested_plugin import plugins_with
from occystrap_core.verification.judge import Verdict
from occystrap_core.verification.receipt import Receipt

REFERENCE = Reference.parse(SAMPLE)
"""The name that the images of the kit have."""


class Conformance:
    """The plugin under test, and how it is used."""

    plugin = ''
    """The module, or `module:object`, with the hooks, as an entry point names it; empty for an installed plugin."""
    settings = Settings(sync=False)
    """The settings of each run, such as credentials and timeouts."""
    inapplicable: Mapping[str, str] = {}
    """Tests, or names of images that tests use, to which the format does not apply, each with the reason."""

    _lasting: Shared | None = None

    @pytest.fixture(autouse=True)
    def _of_one_test(self, request: pytest.FixtureRequest) -> Iterator[None]:
        for name in request.node.name.rstrip(']').split('['):
            if name in self.inapplicable:
                pytest.skip(self.inapplicable[name])
        with closing(Shared()) as self._lasting:
            yield

    @property
    def plugins(self) -> Plugins:
        """The plugin under test with all that are installed."""
        return plugins_with(self.plugin)

    @contextmanager
    def run(self, **changed: Any) -> Iterator[Settings]:
        """Yield the settings of one run, which ends with the block; connections are kept until the test ends."""
        settings = replace(self.settings, shared=Shared(self._lasting), cancellation=Cancellation(),
                           requests=RequestStats(), names=NameMemory(), **changed)
        with closing(settings.shared):
            yield settings


class DestinationConformance(Conformance):
    """A destination below an empty directory, or in a service."""

    uri = ''
    """The destination, with fields: `{directory}` is an empty directory, `{name}` a unique name."""
    private: tuple[str, ...] = ()
    """Names of files and directories for the writer's private use, in which damage need not be found."""
    secondary: tuple[str, ...] = ()
    """Names of files that do not belong to an image, such as a marker of the format: a run that fails in `finalize` may
    leave them or not."""

    def location(self, directory: Path) -> Location:
        """Return the destination that goes with a directory."""
        return self.destination(self.uri.format_map(uri_fields(directory)))

    def destination(self, uri: str) -> Location:
        """Return any destination of the plugin."""
        return destination_location(self.plugins, uri)

    def output(self, directory: Path, settings: Settings) -> ImageOutput:
        """Return a new writer."""
        return open_output(self.plugins, self.location(directory), settings)

    def write(self, directory: Path, content: Content, **changed: Any) -> Receipt:
        """Write an image as the core does, with changed settings if there are any; return its receipt."""
        return self.write_to(self.location(directory), content, **changed)

    def write_to(self, location: Location, content: Content, **changed: Any) -> Receipt:
        """Write an image to any destination of the plugin."""
        with self.run(**changed) as settings:
            return copy_of(content, open_output(self.plugins, location, settings), settings, 'sample').run()

    def spelled(self, path: str, directory: Path) -> Location:
        """Return the destination with another spelling of its directory."""
        return self.destination(self.uri.format_map({**uri_fields(directory), 'directory': path}))

    def require_files(self) -> None:
        """Skip a test that is for destinations in files alone."""
        if '{directory}' not in self.uri:
            pytest.skip('for destinations in files')

    def verify(self, receipt: Receipt, level: VerifyLevel = VerifyLevel.FULL) -> Verdict:
        """Return the verdict on what a receipt expects, read from its JSON."""
        with self.run() as settings:
            return verify_receipt(self.plugins, Receipt.from_json(receipt.to_json()), level, settings)

    def content(self, directory: Path) -> Mapping[str, object]:
        """Return the whole content of the destination, by name. For a service, override this or have its tests skipped.
        """
        if '{directory}' not in self.uri:
            pytest.skip('override content(), which says what a service holds, to have this tested')
        return files_below(directory)

    def images(self, directory: Path) -> list[Path]:
        """Return the files whose damage must be found: all except those in `private`; fails if there are none."""
        found = [path for path in sorted(directory.rglob('*')) if path.is_file() and not path.is_symlink()
                 and not {*self.private} & {*path.relative_to(directory).parts}]
        assert found, 'no file is there whose damage must be found: `private` names too much, or `uri` leads elsewhere'
        return found

    def require_verified(self, receipt: Receipt, *levels: VerifyLevel) -> None:
        """Fail unless the receipt is verified at the levels, both by default."""
        for level in levels or (VerifyLevel.FAST, VerifyLevel.FULL):
            verdict = self.verify(receipt, level)
            why = '; '.join(map(str, verdict.problems))
            assert verdict.outcome.value == 'verified', f'--verify={level.value}: {verdict.outcome.value}: {why}'

    def is_refused(self, receipt: Receipt, level: VerifyLevel) -> bool:
        """Return whether a receipt is not verified."""
        return self.verify(receipt, level).outcome.value != 'verified'


def uri_fields(directory: Path) -> dict[str, str]:
    """Return the fields of a URI: the directory, escaped, and a name of its own."""
    escaped = str(directory).replace('%', '%25').replace('?', '%3F')
    return {'directory': escaped, 'name': f'kit-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]}'}


def files_below(directory: Path) -> dict[str, object]:
    """Return the names below a directory, each with the bytes of the file, the target of the link, or None."""
    found: dict[str, object] = {}
    for path in sorted(directory.rglob('*')):
        mode = path.lstat().st_mode
        name = str(path.relative_to(directory))
        found[name] = os.readlink(path) if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else None
    return found


def tars_of(image: Image) -> list[bytes]:
    """Return the uncompressed bytes of all layers, which are checked as they are read."""
    found = []
    for layer in image.layers:
        with layer.tar() as stream:
            found.append(b''.join(bytes(chunk) for chunk in stream.chunks()))
    return found
