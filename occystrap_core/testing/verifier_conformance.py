"""The requirements for verifiers, which WriterConformance includes, and for policies."""
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core.api.schemes import WriterScheme
from occystrap_core.errors import OccystrapError
from occystrap_core.oci.digest import Digest
from occystrap_core.settings import VerifyLevel
from occystrap_core.testing.conformance import Conformance, DestinationConformance
from occystrap_core.testing.damage import SPOILS, Damage, damages_of_files, spoiled
from occystrap_core.testing.other_process import verdicts_elsewhere
from occystrap_core.testing.process_manners import bytes_read
from occystrap_core.testing.sample import sample_image
from occystrap_core.testing.tricky_images import LARGE, big_image, image_of, tar_of
from occystrap_core.testing.watched_calls import DeniedFile, observed
from occystrap_core.verification.expectation import UNKNOWN_SIZE, Expectation
from occystrap_core.verification.judge import KINDS, DOCUMENT, Need
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import CheckResults, Outcome, Severity

LEVELS = pytest.mark.parametrize('level', [VerifyLevel.FAST, VerifyLevel.FULL], ids=['fast', 'full'])


class VerifyingPlugin(Conformance):
    """A plugin with the hook verify_output."""

    def observe(self, receipt: Receipt, level: VerifyLevel, owner: str = '') -> CheckResults | None:
        """Return what verify_output returns: of the plugin under test or, if none is named, of the scheme's plugin."""
        schemes = self.plugins.declared(WriterScheme)
        of_scheme = [plugin for plugin, each in schemes if (owner or receipt.scheme) in (each.name, *each.aliases)]
        tested = [each for each in self.plugins.loaded if each.module == self.plugin]
        keys = [each.key for each in tested or of_scheme]
        hooks = [hook for plugin, hook in self.plugins.hooks('verify_output') if plugin.key in keys]
        assert hooks, f'no plugin verifies {receipt.scheme}://: it has no verify_output'
        with self.run() as settings:
            found: CheckResults | None = hooks[0](receipt=receipt, level=level, settings=settings)
        return found


class VerifierConformance(VerifyingPlugin, DestinationConformance):
    """The requirements for a verifier, tried on what the writer of its scheme has written."""

    reports_only = False
    """Whether a service reports digests and returns documents only together with all layers
    (WriterScheme.reports_only)."""
    added_entries_are_damage = False
    """Whether an extra file must be found, as in an unpacked tree."""

    def damages(self, directory: Path, receipt: Receipt) -> Sequence[Damage]:
        """Return ways to damage what was written: by default, of files. For a service, override this.

        Each must be found at its level while its context lasts; then what was written must verify again.
        """
        if '{directory}' not in self.uri:
            pytest.skip('override damages(), which damages what a service holds, to have this tested')
        return damages_of_files(directory, self.images(directory))

    def _undetected(self, directory: Path, *levels: VerifyLevel) -> str:
        """Return the kinds of damage after which a receipt is still verified, at the first of these levels."""
        receipt, undetected = self.write(directory, sample_image()), []
        self.require_verified(receipt, levels[0])  # what is remembered of this must not hide the damage
        for damage in self.damages(directory, receipt):
            if damage.level in levels:
                with damage.done():
                    undetected += [] if self.is_refused(receipt, levels[0]) else [damage.name]
        self.require_verified(receipt, levels[0])
        return '; '.join(undetected)

    def test_removed_cut_and_longer_files_are_found_by_fast_verification(self, tmp_path: Path) -> None:
        undetected = self._undetected(tmp_path, VerifyLevel.FAST)
        assert not undetected, f'--verify=fast still says verified: {undetected}'

    def test_every_damage_is_found_by_full_verification(self, tmp_path: Path) -> None:
        undetected = self._undetected(tmp_path, VerifyLevel.FULL, VerifyLevel.FAST)
        assert not undetected, f'--verify=full still says verified: {undetected}'

    def test_an_added_file_is_found(self, tmp_path: Path) -> None:
        if not self.added_entries_are_damage:
            pytest.skip('other files may be there: added_entries_are_damage is not set')
        receipt = self.write(tmp_path, sample_image())
        beside = max(self.images(tmp_path), key=lambda path: len(path.parts))
        (beside.parent / 'added-by-nobody').write_bytes(b'more')
        assert self.is_refused(receipt, VerifyLevel.FAST), 'a file that nobody wrote is not found'

    @LEVELS
    def test_each_expectation_is_compared_with_what_is_there(self, tmp_path: Path, level: VerifyLevel) -> None:
        receipt = self.write(tmp_path, sample_image())
        for number, expectation in enumerate(receipt.expectations):
            for what, other in _others(expectation, level, self.reports_only):
                expected = [*receipt.expectations]
                expected[number] = other
                assert self._contradicts(replace(receipt, expectations=tuple(expected)), other, level), (
                    f'--verify={level.value} does not notice that {expectation} has another {what} than the receipt '
                    'says: report what is there, not what is expected')

    def _contradicts(self, receipt: Receipt, altered: Expectation, level: VerifyLevel) -> bool:
        """Return whether a receipt with one altered expectation is proved less well by the verifier's report."""
        try:
            results = self.observe(receipt, level)
        except OccystrapError:
            return True
        assert results is not None, 'verify_output says that its own receipt has another scheme'
        seen = [each for each in results.observations if each.expectation == altered]
        return not seen or any(each.contradicts or each.reason for each in seen) or any(
            each.severity in (Severity.ERROR, Severity.UNVERIFIED) for each in results.results)

    @LEVELS
    def test_each_expectation_is_observed(self, tmp_path: Path, level: VerifyLevel) -> None:
        receipt = self.write(tmp_path, sample_image())
        results = self.observe(receipt, level)
        assert results is not None, 'verify_output says that its own receipt has another scheme'
        silent = {*receipt.expectations} - {each.expectation for each in results.observations}
        assert not silent, f'nothing is reported of {", ".join(map(str, silent))}'

    def test_reports_of_several_images_are_independent(self, tmp_path: Path) -> None:
        receipts = []
        for name in ('one', 'two'):
            (tmp_path / name).mkdir()
            receipts.append(self.write(tmp_path / name, sample_image(variant=name)))
        first = self.observe(receipts[0], VerifyLevel.FAST)
        seen = [*first.observations] if first else []
        self.observe(receipts[1], VerifyLevel.FAST)
        assert first and first.observations == seen, 'a report is changed by that of another image'

    @LEVELS
    def test_what_is_missing_has_failed_and_is_not_unverified(self, tmp_path: Path, level: VerifyLevel) -> None:
        self.require_files()
        receipt = self.write(tmp_path, sample_image())
        for path in self.images(tmp_path):
            with spoiled(path, 'nothing', tmp_path):
                verdict = self.verify(receipt, level)
            assert verdict.outcome is Outcome.FAILED, (
                f'{path.name} is missing, and the outcome is {verdict.outcome.value}: report missing or differs, not '
                'unreachable')

    @LEVELS
    def test_a_link_in_place_of_a_file_is_not_verified(self, tmp_path: Path, level: VerifyLevel) -> None:
        self.require_files()
        place, elsewhere = tmp_path / 'place', tmp_path / 'elsewhere'
        place.mkdir()
        receipt = self.write(place, sample_image())
        for path in self.images(place):
            if str(path) == receipt.path:
                continue  # users may name a file of one image by a link
            elsewhere.write_bytes(path.read_bytes())
            with spoiled(path, 'nothing', place):
                path.symlink_to(elsewhere)
                assert self.is_refused(receipt, level), (
                    f'a link to an equal file elsewhere, in place of {path.name}, is verified: use lstat')

    def test_fast_verification_reads_no_layer(self, tmp_path: Path) -> None:
        self.require_files()
        receipt = self.write(tmp_path, big_image(LARGE))
        self.verify(receipt, VerifyLevel.FAST)
        before = bytes_read()
        self.verify(receipt, VerifyLevel.FAST)
        read = bytes_read() - before
        assert read < LARGE // 2, f'--verify=fast reads {read} bytes of an image whose layer has {LARGE}'

    def test_verification_in_another_process_needs_the_receipt_alone(self, tmp_path: Path) -> None:
        receipts = []
        for name in ('one', 'two', 'three'):
            (tmp_path / name).mkdir()
            receipts.append(self.write(tmp_path / name, sample_image(variant=name)))
        found = verdicts_elsewhere(self.plugin, receipts)
        assert found == ['verified'] * 3, f'another process, in another directory, finds: {found}'

    def test_verification_changes_nothing(self, tmp_path: Path) -> None:
        receipt = self.write(tmp_path, sample_image())
        before = self.content(tmp_path)
        self.require_verified(receipt)
        assert self.content(tmp_path) == before, 'verification has changed the destination'

    def test_receipts_of_other_schemes_are_left_to_their_plugins(self, tmp_path: Path) -> None:
        receipt = replace(self.write(tmp_path, sample_image()), scheme='somebody-elses')
        found = self.observe(receipt, VerifyLevel.FULL, self.location(tmp_path).scheme)
        assert found is None, 'verify_output must return None for a scheme that is not its own'

    @pytest.mark.parametrize('how', SPOILS)
    def test_something_else_in_its_place_fails_without_an_unknown_exception(self, tmp_path: Path, how: str) -> None:
        receipt = self.write(tmp_path, sample_image())
        self.require_files()
        for path in [*tmp_path.iterdir(), *self.images(tmp_path)]:
            with spoiled(path, how, tmp_path):
                for level in (VerifyLevel.FAST, VerifyLevel.FULL):
                    verdict = self.verify(receipt, level)
                    said = '; '.join(map(str, verdict.problems))
                    assert said, f'{how} in place of {path.name} still verifies'
                    assert 'its verifier failed: ' not in said, f'{how} in place of {path.name}: {said}'

    @LEVELS
    def test_a_file_without_permission_is_unverified_and_not_damaged(self, tmp_path: Path, level: VerifyLevel) -> None:
        self.require_files()
        receipt = self.write(tmp_path, sample_image())
        for path in self.images(tmp_path):
            with observed(DeniedFile(path)):
                verdict = self.verify(receipt, level)
            said = '; '.join(map(str, verdict.problems))
            assert verdict.outcome is not Outcome.FAILED, (
                f'{path.name}, which may not be read, is said to be damaged, not unreachable: {said}')

    def test_the_receipt_of_a_replaced_image_is_not_verified_any_more(self, tmp_path: Path) -> None:
        receipt = self.write(tmp_path, sample_image())
        self.write(tmp_path, image_of([tar_of(('another', b'image'))]))
        assert self.is_refused(receipt, VerifyLevel.FAST), 'an image that was replaced by another still verifies'


def _others(expectation: Expectation, level: VerifyLevel, reports_only: bool) -> list[tuple[str, Expectation]]:
    """Return the expectation with another size and, if the level checks it, with another digest."""
    kind = KINDS.get(expectation.kind, DOCUMENT)
    need = kind.full if level is VerifyLevel.FULL or reports_only else kind.fast
    digest = Digest.of(b'something else', expectation.digest.algorithm)
    found = [('digest', expectation._replace(digest=digest))] if need is not Need.SIZE else []
    sized = expectation.size != UNKNOWN_SIZE and need in (Need.SIZE, Need.DIGEST_READ) and not reports_only
    return [*found, *([('size', expectation._replace(size=expectation.size + 1))] if sized else [])]
