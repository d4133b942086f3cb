"""The conformance kit finds plugins that break a rule, each by the test that is named like the rule."""
import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import Cancelled, Receipt, Settings, VerifyLevel
from occystrap_core.testing.conformance import Conformance
from occystrap_core.testing.filter_conformance import FilterConformance
from occystrap_core.testing.input_conformance import InputConformance, _damaged
from occystrap_core.testing.policy_conformance import PolicyConformance
from occystrap_core.testing.sample import sample_image
from occystrap_core.testing.writer_conformance import WriterConformance
from tests.unit.core.testing import careless_cases
from tests.unit.core.testing.careless_cases import Case

sys.path.append(str(Path(__file__).parents[4] / 'docs/examples/occystrap-flat'))
WRITERS, INPUTS = 'tests.unit.core.testing.wrong_writers', 'tests.unit.core.testing.wrong_inputs'


IMAGE = 'test_an_image_is_verified_at_both_levels_and_can_be_read_back'
FAILING = 'test_a_failure_in_any_layer_leaves_nothing'
KILLED = 'test_what_a_killed_run_left_is_removed_by_the_next'
FLUSHED = 'test_with_sync_no_name_appears_before_its_content_is_flushed'
SAMPLE, FIRST, EARLIER = {'name': 'sample'}, {'before': False}, {'before': True}
OF_WRITERS = [
    Case('LosesALayer', IMAGE, 'is missing', SAMPLE),
    Case('WritesBeforeSuccess', FAILING, 'this is left', {**FIRST, 'error': None}),
    Case('WritesBeforeSuccess', FAILING, 'this is left', {**FIRST, 'error': Cancelled}),
    Case('LeavesLitter', 'test_abort_after_prepare_leaves_nothing', 'this is left', FIRST),
    Case('RemovesTheOldImageFirst', 'test_abort_after_prepare_leaves_nothing', 'this is gone', EARLIER),
    Case('tells-passwords', 'test_options_whose_names_say_secret_are_declared_secret', 'password'),
    Case('PutsASecretIntoTheReceipt', 'test_secrets_are_in_no_receipt_and_no_message', 'in the receipt'),
    Case('IgnoresSync', FLUSHED, 'never flushed'),
    Case('FlushesAfterRenaming', FLUSHED, 'before their content'),
    Case('LeavesNamesUnflushed', FLUSHED, 'the directories of these'),
    Case('AlwaysSyncs', 'test_without_sync_nothing_is_flushed', 'no-sync'),
    Case('WritesTheTime', 'test_writing_again_changes_nothing', 'written-at'),
    Case('WritesTheTime', 'test_two_runs_write_the_same_bytes', 'written-at'),
    *(Case(f'WritesTheYear{of}', 'test_two_runs_write_the_same_bytes', 'on the clock')
      for of in ('', 'OfToday', 'OfItsFile')),
    Case('HoldsALayer', 'test_a_layer_is_never_held_in_memory', 'MiB of memory'),
    Case('KeepsARelativePath', 'test_the_receipt_names_a_path_that_is_found_from_any_directory', 'is missing'),
    Case('NamesPlacesAsTheyAreWritten', 'test_every_spelling_of_a_path_is_one_place', 'several names'),
    Case('HasOnePlaceForAll', 'test_images_of_two_directories_have_two_places', 'one place'),
    Case('HasAPlaceForEachName', 'test_a_place_for_one_image_is_the_same_whatever_name_the_image_has', 'override'),
    Case('WritesWhenItIsMade', 'test_making_a_writer_and_asking_for_its_place_has_no_effect', 'this is left'),
    Case('NamesLayersByIndex', IMAGE, '', {'name': 'streamed'}),
    Case('WritesAnotherConfig', IMAGE, 'config', SAMPLE),
    Case('AbortsOnlyWhatWasPrepared', 'test_abort_before_prepare_leaves_nothing', 'No such file', FIRST),
    Case('SwallowsErrors', FAILING, 'DID NOT RAISE', {**FIRST, 'error': None}),
    Case('ReplacesWhatIsInTheWay', 'test_what_is_in_the_way_is_left_as_it_is', 'letter.txt', {'what': 'directory'}),
    Case('TakesAnyConfigForItsOwn', 'test_what_is_in_the_way_is_left_as_it_is', 'config.json',
         {'what': 'files_named_alike'}),
    Case('RemovesWhatOthersWrite', 'test_another_run_at_the_same_place_does_no_harm', 'another run'),
    Case('LeavesWhatKilledRunsLeft', KILLED, 'holds no image', FIRST),
    Case('LeavesWhatKilledRunsLeft', KILLED, 'there after the next one', EARLIER),
    Case('LeavesLayersOfKilledRuns', KILLED, 'holds no image', FIRST),
    Case('RemovesAllThatIsPartial', 'test_nothing_else_is_removed_with_what_a_killed_run_left', 'thesis',
         {'what': 'beside'}),
    Case('RemovesWhatIsCalledAsItsOwn', 'test_nothing_else_is_removed_with_what_a_killed_run_left', 'flat-thesis',
         {'what': 'beside'}),
    Case('RemovesWhatLinksLeadTo', 'test_nothing_else_is_removed_with_what_a_killed_run_left', 'target',
         {'what': 'link'}),
    Case('ReplacesAFile', 'test_what_is_in_the_way_is_left_as_it_is', 'only --force', {'what': 'file'}),
    *(Case('ReplacesALink', 'test_a_link_in_the_way_is_refused_or_followed_and_stays', 'was replaced', {'target': each})
      for each in ('image', 'file', 'directory', 'nothing')),
    Case('LeavesLayersWhenItFailsLate', 'test_a_failing_call_in_finalize_leaves_the_old_image_or_the_new_one', 'left',
         FIRST),
    Case('ExpectsWhatItDoesNotDeclare', 'test_the_scheme_names_all_kinds_of_documents_that_a_receipt_has', 'note'),
    Case('LosesOddNames', IMAGE, 'digest is', {'name': 'odd_names'}),
    Case('RunsOutOfWordsOnFiles', 'test_a_file_in_the_way_gives_a_message_of_one_line', ''),
    Case('always-yes', 'test_each_expectation_is_compared_with_what_is_there', 'does not notice', {'level': 'FULL'}),
    Case('always-yes', 'test_removed_cut_and_longer_files_are_found_by_fast_verification', 'removed'),
    Case('sizes-only', 'test_every_damage_is_found_by_full_verification', 'flipped'),
    Case('silent-of-layers', 'test_each_expectation_is_observed', 'nothing is reported', {'level': 'FAST'}),
    Case('crashes', 'test_something_else_in_its_place_fails_without_an_unknown_exception', 'its verifier failed',
         {'how': 'nothing'}),
    *(Case('damaged-for-unreadable', 'test_a_file_without_permission_is_unverified_and_not_damaged', 'to be damaged',
           {'level': level}) for level in ('FAST', 'FULL')),
    Case('remembers', 'test_verification_in_another_process_needs_the_receipt_alone', 'another process'),
    Case('changes-things', 'test_verification_changes_nothing', 'has changed'),
    Case('overlooks-more', 'test_removed_cut_and_longer_files_are_found_by_fast_verification', 'longer'),
    *careless_cases.WRITERS,
]
OF_INPUTS = [
    Case('ReadsLayersToOpen', 'test_opening_reads_no_layer', 'open reads'),
    Case('ChecksNothing', 'test_damaged_bytes_are_never_given_out_as_an_image', 'other bytes'),
    Case('LeaksDescriptors', careless_cases.CLOSED, 'descriptors are open'),
    Case('KnowsAnotherDigest', 'test_the_digest_that_is_present_is_that_of_what_is_opened', 'is not the digest'),
    Case('CrashesOnNoise', 'test_something_else_in_its_place_is_an_error_without_an_unknown_exception', '',
         {'how': 'noise'}),
    Case('SharesOneFile', 'test_layers_can_be_opened_again_and_from_several_threads', ''),
    Case('NamesNothing', 'test_an_image_that_is_not_there_is_an_error_that_names_it', 'does not name'),
    Case('FindsAnotherNameEachTime', 'test_an_image_has_a_name_that_opens_it', 'other names'),
    *careless_cases.INPUTS,
]
OF_FILTERS = [
    Case('WritesTheTimeIntoEntries', 'test_the_same_image_gives_the_same_bytes_each_time', 'not deterministic'),
    Case('ReadsToApply', 'test_applying_a_filter_reads_no_layer', 'wraps lazily'),
    Case('CountsImages', 'test_one_filter_serves_all_images_of_a_source', 'filtered before'),
    Case('DependsOnOtherLayers', 'test_a_repeatable_result_depends_on_the_layer_alone', 'repeatable'),
    Case('WritesAFileUnasked', 'test_files_that_are_written_are_named', 'does not name'),
    Case('HoldsLayers', 'test_a_layer_is_never_held_in_memory', 'MiB of memory'),
    Case('LeavesLayersOut', 'test_config_and_layers_of_the_result_agree', 'diff_ids', SAMPLE),
    Case('NamesOtherDigests', 'test_the_digest_of_a_layer_is_that_of_its_bytes', 'diff_id'),
    *careless_cases.FILTERS,
]


class Written(WriterConformance):
    plugin = WRITERS


class Read(InputConformance):
    plugin = INPUTS
    written = 'put://{directory}/image'
    checks_config = False


class Filtered(FilterConformance):
    plugin = INPUTS


class Allowing(PolicyConformance):
    def accepted(self) -> Sequence[Receipt]:
        return []

    refused = accepted


def _kit(case: Case, right: bool) -> Conformance:
    """Return the kit for a wrong plugin, or for the right one."""
    name = case.plugin.lower()
    if case in OF_WRITERS:
        kit: Any = Written()
        kit.uri = f'{"right" if right else name}://{{directory}}/image'
    elif case in OF_INPUTS:
        kit = Read()
        kit.uri = f'{"right-source" if right else name}://{{directory}}/image'
    else:
        kit = Filtered()
        kit.filter = 'right' if right else f'{name}:file={{directory}}/report'
    kit.settings = Settings(sync=False)
    assert isinstance(kit, Conformance)
    return kit


def test_a_config_within_a_large_file_is_damaged_too() -> None:
    """A container that does not check it would else pass by luck."""
    config = sample_image().config.raw
    content = os.urandom(100_000) + config + os.urandom(150_000)
    changed = [damaged for _, damaged in _damaged(content, config) if config not in damaged and len(damaged) > 150_000]
    assert len(changed) > 3
    for damaged in changed:
        json.loads(damaged[100_000:100_000 + len(config)])
    assert all(config in damaged for _, damaged in _damaged(content, None) if len(damaged) > 150_000)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
        ) -> Callable[[Conformance, Case], None]:
    """Run one test of a kit."""
    def call(kit: Conformance, case: Case) -> None:
        test = getattr(kit, case.test)
        given = {'tmp_path': tmp_path, 'monkeypatch': monkeypatch, 'capfd': capfd, **case.parameters}
        if 'level' in given:
            given['level'] = VerifyLevel[str(given['level'])]
        test(**{name: given[name] for name in inspect.signature(test).parameters})
    return call


CASES = [*OF_WRITERS, *OF_INPUTS, *OF_FILTERS]


@pytest.mark.parametrize('case', CASES, ids=lambda case: f'{case.plugin}-{case.test[5:45]}')
def test_a_wrong_plugin_is_found_by_the_test_for_its_rule(case: Case, run: Callable[[Conformance, Case], None]) -> None:
    with pytest.raises(BaseException) as raised:
        run(_kit(case, right=False), case)
    assert not isinstance(raised.value, pytest.skip.Exception | TypeError | NameError), raised.value
    assert case.says in str(raised.value), raised.value


@pytest.mark.parametrize('case', {each.test: each for each in CASES}.values(), ids=lambda case: case.test[5:50])
def test_a_right_plugin_passes_it(case: Case, run: Callable[[Conformance, Case], None]) -> None:
    run(_kit(case, right=True), case)


def test_an_input_that_ignores_the_platform_is_found(tmp_path: Path) -> None:
    kit = Read()
    kit.written = kit.uri = 'layout://{directory}/image'
    kit.test_the_platform_that_was_chosen_is_opened(tmp_path)
    kit.uri = 'ignorestheplatform://{directory}/image'
    with pytest.raises(AssertionError, match='--platform=linux/arm64 gives linux/amd64'):
        kit.test_the_platform_that_was_chosen_is_opened(tmp_path)


def test_a_kit_that_finds_nothing_to_damage_or_to_refuse_fails(tmp_path: Path) -> None:
    kit = Written()
    kit.uri, kit.private = 'right://{directory}/image', ('image', )
    with pytest.raises(AssertionError, match='no file is there'):
        kit.test_every_damage_is_found_by_full_verification(tmp_path)
    policy = Allowing()
    for test in (policy.test_what_the_policy_accepts_has_no_errors,
                 policy.test_what_the_policy_refuses_has_an_error_of_one_line_that_names_the_item):
        with pytest.raises(AssertionError, match='returns no receipts'):
            test(VerifyLevel.FAST)


def test_a_verifier_that_answers_for_other_schemes_is_found(tmp_path: Path) -> None:
    kit = Written()
    kit.plugin, kit.uri = f'{WRITERS}:answers_for_others', 'right://{directory}/image'
    with pytest.raises(AssertionError, match='must return None'):
        kit.test_receipts_of_other_schemes_are_left_to_their_plugins(tmp_path)
