"""The requirements for policies: plugins that add findings to other plugins' schemes."""
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from occystrap_core.errors import OccystrapError
from occystrap_core.oci.digest import Digest
from occystrap_core.settings import VerifyLevel
from occystrap_core.testing.process_manners import ProcessManners
from occystrap_core.testing.sample import SAMPLE
from occystrap_core.testing.verifier_conformance import LEVELS, VerifyingPlugin
from occystrap_core.verification.expectation import UNKNOWN_SIZE, Expectation, Part
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import Severity


def receipt_of(sizes: Mapping[str, int], reference: str = SAMPLE, scheme: str = 'dir') -> Receipt:
    """Return the receipt of an image with layers of these sizes in bytes; each digest is that of its key."""
    config = Expectation('config', 'config.json', Digest.of(b'config'), 100)
    layers = [Expectation('layer', f'{name}.tar', Digest.of(name.encode()), size) for name, size in sizes.items()]
    return Receipt(scheme, '/images', {}, reference, f'registry://{reference}', config.digest,
                   tuple(each.digest for each in layers), (config, *layers), form='tar')


def within_index(receipt: Receipt) -> Receipt:
    """Return the receipt of an index with one platform, the image of another receipt."""
    index, manifest = Digest.of(b'index'), Digest.of(b'manifest')
    documents = [Expectation(kind, f'{kind}.json', digest, 100) for kind, digest in (('index', index),
                                                                                     ('manifest', manifest))]
    return replace(receipt, image_id=index, manifest_digest=index, diff_ids=(), form='stored',
                   parts=(Part(manifest, receipt.image_id, receipt.diff_ids),),
                   expectations=(*documents, *receipt.expectations))


class PolicyConformance(VerifyingPlugin, ProcessManners):
    """The requirements for a plugin that adds findings to other plugins' schemes, such as limits.

    `accepted` and `refused` return receipts, such as those that `receipt_of` makes.
    """

    def accepted(self) -> Sequence[Receipt]:
        """Return receipts in which the policy must find no error."""
        raise NotImplementedError

    def refused(self) -> Sequence[Receipt]:
        """Return receipts in which the policy must find an error."""
        raise NotImplementedError

    def use(self, directory: Path) -> None:
        """Apply the policy to all receipts."""
        for receipt in [*self.accepted(), *self.refused()]:
            self.errors(receipt, VerifyLevel.FULL)

    def errors(self, receipt: Receipt, level: VerifyLevel) -> list[str]:
        """Return what keeps an image from being verified."""
        results = self.observe(receipt, level)
        found = results.results if results else []
        return [str(each) for each in found if each.severity in (Severity.ERROR, Severity.UNVERIFIED)]

    @LEVELS
    def test_what_the_policy_accepts_has_no_errors(self, level: VerifyLevel) -> None:
        assert self.accepted(), 'accepted() returns no receipts'
        for receipt in self.accepted():
            assert not (errors := self.errors(receipt, level)), f'{receipt.reference} is refused: {errors}'

    @LEVELS
    def test_what_the_policy_refuses_has_an_error_of_one_line_that_names_the_item(self, level: VerifyLevel) -> None:
        assert self.refused(), 'refused() returns no receipts'
        for receipt in self.refused():
            errors = self.errors(receipt, level)
            assert errors, f'{receipt.reference} is not refused'
            assert all('\n' not in each and not each.startswith(': ') for each in errors), f'unclear: {errors}'

    def test_an_image_is_refused_as_part_of_an_index_as_well(self) -> None:
        for receipt in self.refused():
            errors = self.errors(within_index(receipt), VerifyLevel.FULL)
            assert errors, f'{receipt.reference} is accepted as one platform of an index: see Receipt.all_parts'

    def test_receipts_of_all_kinds_get_an_answer(self) -> None:
        odd = {'without layers': receipt_of({}), 'without a name': receipt_of({'a': 1}, reference=''),
               'with a layer of unknown size': receipt_of({'a': UNKNOWN_SIZE}),
               'of an index': within_index(receipt_of({'a': 1})),
               'of a list of files': replace(receipt_of({}), expectations=(
                   Expectation('config', 'config.json', Digest.of(b'config'), 100),
                   Expectation('files', 'files.list', Digest.of(b'files'), 100)))}
        for name, receipt in odd.items():
            with suppress(OccystrapError):  # a limit that cannot be read, for example
                try:
                    self.observe(receipt, VerifyLevel.FULL)
                except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError) as error:
                    raise AssertionError(f'the policy fails for a receipt {name}, which is then not verified: '
                                         f'{type(error).__name__}: {error}') from error

    def test_a_policy_reports_no_observations_of_schemes_that_are_not_its_own(self) -> None:
        for receipt in [*self.accepted(), *self.refused()]:
            results = self.observe(receipt, VerifyLevel.FULL)
            assert not (results and results.observations), 'what it observes of another plugin\'s scheme is ignored'

    def test_the_same_receipt_gets_the_same_answer_after_it_was_read_from_json(self) -> None:
        for receipt in [*self.accepted(), *self.refused()]:
            again = Receipt.from_json(receipt.to_json())
            assert self.errors(again, VerifyLevel.FAST) == self.errors(receipt, VerifyLevel.FAST), (
                f'the answer for {receipt.reference} is another one when the policy is asked again')
