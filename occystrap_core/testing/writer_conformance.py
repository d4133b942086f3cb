"""Tests for the author of a writer: subclass WriterConformance, say where it writes, run pytest.

    class TestFlat(WriterConformance):
        uri = 'flat://{directory}/image'

The plugin must be installed (`pip install -e .`), or be named by `plugin`. These tests are the contract of writers and
their verifiers; the names of those that fail say what is wrong.
"""
import os
import re
from contextlib import suppress
from pathlib import Path

import pytest

from occystrap_core.api.schemes import WriterScheme
from occystrap_core.errors import OccystrapError
from occystrap_core.oci.reference import Reference
from occystrap_core.plugins.resolver import open_output
from occystrap_core.settings import VerifyLevel
from occystrap_core.testing.altered_images import breaking_image
from occystrap_core.testing.conformance import REFERENCE, uri_fields
from occystrap_core.testing.killed_runs import KilledRuns
from occystrap_core.testing.memory_limit import BIG, within_memory
from occystrap_core.testing.process_manners import ProcessManners
from occystrap_core.testing.round_trips import RoundTrips
from occystrap_core.testing.sample import sample_image
from occystrap_core.testing.tricky_images import big_image
from occystrap_core.testing.watched_calls import FlushedFiles, observed
from occystrap_core.testing.written_files import WrittenFiles
from occystrap_core.verification.receipt import Receipt

CANARY = 'hunter2-CANARY'


class WriterConformance(RoundTrips, KilledRuns, WrittenFiles, ProcessManners):
    """The requirements for a writer and its verifier. Set `uri`; for a service, also `content` and `damages`."""

    secret_uri = ''
    """A destination with a password in it, `{canary}`, such as `registry://me:{canary}@localhost:5000/{name}:v1`."""
    optional_kinds: tuple[str, ...] = ()
    """Kinds of expectations that some receipts of the scheme do not have, so that `expects` cannot name them."""
    most_memory = 24 << 20
    """The bytes of Python's memory that may be in use, at most, while a layer of 64 MiB is written or verified."""

    def use(self, directory: Path) -> None:
        """Have a write fail, then write and verify."""
        with suppress(OccystrapError):
            self.write(directory, breaking_image(2, None))
        self.require_verified(self.write(directory, sample_image()))

    @property
    def scheme(self) -> WriterScheme:
        """The declaration of the scheme."""
        return self.plugins.find(WriterScheme, self.location(Path('/nowhere')).scheme)

    def test_with_sync_no_name_appears_before_its_content_is_flushed(
            self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.require_files()
        flushed = FlushedFiles(tmp_path, monkeypatch)
        with observed(flushed):
            self.write(tmp_path, sample_image(), sync=True)
        unflushed = [path.name for path in self.images(tmp_path) if not flushed.is_flushed(path)]
        assert unflushed == [], f'these were never flushed, in spite of --sync: {unflushed}'
        early = [name for name in flushed.early if os.path.lexists(name)]
        assert early == [], f'these got their names before their content was flushed: {early}'
        late = [name for name in flushed.unflushed_directories if os.path.lexists(name)]
        assert late == [], f'the directories of these were not flushed after they got their names: {late}'

    def test_without_sync_nothing_is_flushed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        flushed = FlushedFiles(tmp_path, monkeypatch)
        with observed(flushed):
            self.write(tmp_path, sample_image(), sync=False)
        assert flushed.count == 0, f'--no-sync does not keep the writer from flushing {flushed.count} times'

    def test_a_layer_is_never_held_in_memory(self, tmp_path: Path) -> None:
        image = big_image(BIG)
        receipt = within_memory(lambda: self.write(tmp_path, image), self.most_memory, 'writing')
        within_memory(lambda: self.require_verified(receipt, VerifyLevel.FULL), self.most_memory, 'verifying')

    def test_the_receipt_is_the_same_after_it_was_read_from_json(self, tmp_path: Path) -> None:
        receipt = self.write(tmp_path, sample_image())
        again = Receipt.from_json(receipt.to_json())
        assert again == receipt and again.to_json() == receipt.to_json(), 'the receipt changes when it is stored'

    def test_the_scheme_names_all_kinds_of_documents_that_a_receipt_has(self, tmp_path: Path) -> None:
        kinds = {each.kind for each in self.write(tmp_path, sample_image()).expectations}
        undeclared = sorted(kinds - {'config', 'manifest', 'layer', *self.scheme.expects, *self.optional_kinds})
        assert undeclared == [], (
            f'WriterScheme(expects=…) does not name {undeclared}: a receipt that lost them still verifies')

    def test_the_receipt_names_a_path_that_is_found_from_any_directory(
            self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.require_files()
        (tmp_path / 'here').mkdir()
        monkeypatch.chdir(tmp_path / 'here')
        receipt = self.write_to(self.spelled('.', tmp_path), sample_image())
        monkeypatch.chdir('/')
        self.require_verified(receipt)

    def test_every_spelling_of_a_path_is_one_place(self, tmp_path: Path) -> None:
        self.require_files()
        real, link = tmp_path / 'real', tmp_path / 'link'
        real.mkdir()
        link.symlink_to(real)
        places = set()
        for spelling in (str(real), f'{real}/', f'{real}/../real', f'{tmp_path}/./real', str(link)):
            with self.run() as settings:
                output = open_output(self.plugins, self.spelled(spelling, real), settings)
                places.add(str(output.place(REFERENCE)))
        assert len(places) == 1, f'one place has several names: {sorted(places)}'

    def test_a_place_for_one_image_is_the_same_whatever_name_the_image_has(self, tmp_path: Path) -> None:
        self.require_files()
        if self.scheme.many.accepted and not self.scheme.many.unless(self.location(tmp_path)):
            pytest.skip('the scheme takes several images')
        with self.run() as settings:
            output = self.output(tmp_path, settings)
            places = {str(output.place(Reference.parse(name))) for name in ('one/app:v1', 'two/app:v2')}
        assert len(places) == 1, f'override place(), or two images replace each other unnoticed: {places}'

    def test_images_of_two_directories_have_two_places(self, tmp_path: Path) -> None:
        with self.run() as settings:
            places = {str(self.output(tmp_path / name, settings).place(REFERENCE)) for name in ('one', 'two')}
        assert len(places) == 2, f'two destinations have one place, so a run would refuse the second: {places}'

    def test_secrets_are_in_no_receipt_and_no_message(self, tmp_path: Path) -> None:
        secrets = [option.name for option in self.scheme.options if option.secret]
        if not secrets and not self.secret_uri:
            pytest.skip('no option is secret, and there is no secret_uri')
        uri = (self.secret_uri or self.uri).format_map({**uri_fields(tmp_path), 'canary': CANARY})
        options = '&'.join(f'{name}={CANARY}' for name in secrets)
        location = self.destination(f'{uri}{"&" if "?" in uri else "?"}{options}')
        for image in (breaking_image(1, None), sample_image()):
            try:
                receipt = self.write_to(location, image)
            except OccystrapError as error:
                assert CANARY not in str(error), f'a secret is in a message: {error}'
            else:
                assert CANARY not in receipt.to_json(), 'a secret is in the receipt'
        if '{directory}' in self.uri:
            telling = [name for name, each in self.content(tmp_path).items()
                       if isinstance(each, bytes) and CANARY.encode() in each]
            assert telling == [], f'a secret is in these files: {telling}'

    def test_options_whose_names_say_secret_are_declared_secret(self) -> None:
        told = [each.name for each in self.scheme.options
                if re.search('passw|secret|token|api_?key', each.name) and not each.secret]
        assert told == [], f'these need secret=True, or receipts and logs show them: {told}'
