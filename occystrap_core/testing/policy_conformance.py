"""The requirements for policies: plugins that add findings to other plugins' schemes."""
from collections.abc import Mapping, Sequence

from occystrap_core.oci.digest import Digest
from occystrap_core.settings import VerifyLevel
from occystrap_core.testing.sample import SAMPLE
from occystrap_core.testing.verifier_conformance import LEVELS, VerifyingPlugin
from occystrap_core.verification.expectation import Expectation
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import Severity


def receipt_of(sizes: Mapping[str, int], reference: str = SAMPLE, scheme: str = 'dir') -> Receipt:
    """Return the receipt of an image with layers of these sizes in bytes; each digest is that of its key."""
    config = Expectation('config', 'config.json', Digest.of(b'config'), 100)
    layers = [Expectation('layer', f'{name}.tar', Digest.of(name.encode()), size) for name, size in sizes.items()]
    return Receipt(scheme, '/images', {}, reference, f'registry://{reference}', config.digest,
                   tuple(each.digest for each in layers), (config, *layers), form='tar')


class PolicyConformance(VerifyingPlugin):
    """The requirements for a plugin that adds findings to other plugins' schemes, such as limits.

    `accepted` and `refused` return receipts, such as those that `receipt_of` makes.
    """

    def accepted(self) -> Sequence[Receipt]:
        """Return receipts in which the policy must find no error."""
        raise NotImplementedError

    def refused(self) -> Sequence[Receipt]:
        """Return receipts in which the policy must find an error."""
        raise NotImplementedError

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

    def test_a_policy_reports_no_observations_of_schemes_that_are_not_its_own(self) -> None:
        for receipt in [*self.accepted(), *self.refused()]:
            results = self.observe(receipt, VerifyLevel.FULL)
            assert not (results and results.observations), 'what it observes of another plugin\'s scheme is ignored'

    def test_the_same_receipt_gets_the_same_answer_after_it_was_read_from_json(self) -> None:
        for receipt in [*self.accepted(), *self.refused()]:
            again = Receipt.from_json(receipt.to_json())
            assert self.errors(again, VerifyLevel.FAST) == self.errors(receipt, VerifyLevel.FAST)
