"""Policies as a hurried author makes them: each refuses images with a layer of more than 100 bytes."""
from collections.abc import Callable

from occystrap_core import READ, CheckResults, Receipt, Settings, VerifyLevel, hookimpl


def _largest(receipt: Receipt) -> int:
    return max((each.size for each in receipt.of_kind('layer')), default=0)


class RightPolicy:
    """A policy, and what is wrong with those below."""

    def verdict(self, receipt: Receipt, level: VerifyLevel) -> str:
        return 'has a layer of more than 100 bytes' if _largest(receipt) > 100 else ''

    @hookimpl
    def verify_output(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
        results = CheckResults()
        if said := self.verdict(receipt, level):
            results.error(receipt.reference, said)
        return results


class FailsWithoutLayers(RightPolicy):
    def verdict(self, receipt: Receipt, level: VerifyLevel) -> str:
        return 'has a large layer' if max(each.size for each in receipt.of_kind('layer')) > 100 else ''


class OverlooksIndexes(RightPolicy):
    def verdict(self, receipt: Receipt, level: VerifyLevel) -> str:
        return super().verdict(receipt, level) if receipt.diff_ids else ''


class OverlooksFast(RightPolicy):
    def verdict(self, receipt: Receipt, level: VerifyLevel) -> str:
        return super().verdict(receipt, level) if level is VerifyLevel.FULL else ''


class SaysItInLines(RightPolicy):
    def verdict(self, receipt: Receipt, level: VerifyLevel) -> str:
        return super().verdict(receipt, level).replace(' of ', '\n')


class PrintsItsVerdict(RightPolicy):
    def verdict(self, receipt: Receipt, level: VerifyLevel) -> str:
        print(said := super().verdict(receipt, level))
        return said


class Observes(RightPolicy):
    @hookimpl
    def verify_output(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
        results = super().verify_output(receipt, level, settings)
        assert results
        for each in receipt.expectations:
            results.found(each, size=each.size, evidence=READ)
        return results


class ReportsOnce(RightPolicy):
    seen: set[str] = set()

    def verdict(self, receipt: Receipt, level: VerifyLevel) -> str:
        said = '' if f'{level}{receipt.reference}' in self.seen else super().verdict(receipt, level)
        self.seen.add(f'{level}{receipt.reference}')
        return said


POLICIES: dict[str, tuple[Callable[[], RightPolicy], str, str]] = {
    'right': (RightPolicy, '', ''),
    'fails_without_layers': (FailsWithoutLayers, 'test_receipts_of_all_kinds_get_an_answer', 'without layers'),
    'overlooks_indexes': (OverlooksIndexes, 'test_an_image_is_refused_as_part_of_an_index_as_well', 'all_parts'),
    'overlooks_fast': (
        OverlooksFast, 'test_what_the_policy_refuses_has_an_error_of_one_line_that_names_the_item', 'not refused'),
    'says_it_in_lines': (
        SaysItInLines, 'test_what_the_policy_refuses_has_an_error_of_one_line_that_names_the_item', 'unclear'),
    'prints_its_verdict': (PrintsItsVerdict, 'test_nothing_is_printed', 'more than 100'),
    'observes': (Observes, 'test_a_policy_reports_no_observations_of_schemes_that_are_not_its_own', 'ignored'),
    'reports_once': (
        ReportsOnce, 'test_the_same_receipt_gets_the_same_answer_after_it_was_read_from_json', 'asked again'),
}
"""Each with the test that finds it, and words of its message."""


def __getattr__(name: str) -> RightPolicy:
    if name not in POLICIES:
        raise AttributeError(name)
    return POLICIES[name][0]()
