"""Careless plugins, each with the test of the kit that finds it."""
from typing import Any, NamedTuple


class Case(NamedTuple):
    """A wrong plugin, the test that finds it, with what that is called with, and words of its message."""

    plugin: str
    test: str
    says: str
    parameters: dict[str, Any] = {}


PRINTED, CHDIR, CLOSED = (
    'test_nothing_is_printed', 'test_the_working_directory_is_not_changed', 'test_everything_is_closed')
MEANWHILE = 'test_an_image_that_is_written_meanwhile_does_no_harm'
DAMAGED = 'test_every_damage_is_found_by_full_verification'
REPLACED = 'test_an_image_that_was_replaced_is_noticed'
LATER = 'test_another_process_years_later_makes_the_same_image'
MOVED = 'test_an_image_that_was_moved_is_verified_at_its_new_place'
WRITERS = [
    Case('SharesAnAttribute', 'test_layers_written_at_once_in_any_order_make_the_same_image', ''),
    Case('SharesAnAttributeOfItsClass', MEANWHILE, ''),
    Case('KeepsChunks', 'test_an_image_is_verified_at_both_levels_and_can_be_read_back', 'digest is',
         {'name': 'several_chunks'}),
    Case('ListsLayersAsTheyArrive', 'test_layers_written_at_once_in_any_order_make_the_same_image', "'image/list'"),
    Case('TakesWhatIsThere', 'test_a_damaged_layer_is_not_taken_for_whole', 'failed'),
    Case('WritesToTemporaryDirectory', 'test_nothing_is_written_elsewhere', 'another file system'),
    Case('MakesFilesForItsUserAlone', 'test_others_may_read_what_was_written', 'only their user'),
    Case('WritesItsConfigInPlace', 'test_no_file_is_written_under_its_final_name', 'config.json'),
    Case('ReadsLayersTwice', 'test_each_layer_is_read_once', 'read again'),
    Case('KeepsItsOptions', 'test_secrets_are_in_no_receipt_and_no_message', 'image/options'),
    Case('MakesDirectoriesAbove', 'test_a_missing_directory_above_is_refused_by_its_name', 'DID NOT RAISE'),
    Case('UnescapesItsPath', 'test_a_path_may_have_any_characters', 'there is no directory'),
    Case('ExpectsAbsolutePaths', MOVED, 'failed'),
    Case('PrintsWhatItWrites', PRINTED, 'writing'),
    Case('WorksInItsDirectory', CHDIR, 'chdir is called'),
    Case('LeavesFilesOpen', CLOSED, 'descriptors are open'),
    Case('KeepsItsLockWhenItFails', CLOSED, 'descriptors are open'),
    Case('RemovesItsDirectoryWithAllInIt', 'test_a_failure_leaves_what_others_put_there_meanwhile', 'letter.txt'),
    Case('RefusesTooLate', 'test_a_dry_run_refuses_what_a_run_refuses', 'a dry run accepts', {'what': 'file'}),
    Case('MakesItsDirectoryForItsUserAlone', 'test_others_may_read_what_was_written', "'image'"),
    Case('ComesBackAfterAbort', 'test_abort_leaves_nothing_while_a_layer_is_still_being_written', 'this is left',
         {'before': False}),
    Case('WritesInADryRun', 'test_a_dry_run_writes_nothing', 'require_possible writes'),
    Case('follows-links', 'test_a_link_in_place_of_a_file_is_not_verified', 'use lstat', {'level': 'FAST'}),
    Case('follows-links', 'test_a_link_in_place_of_a_file_is_not_verified', 'use lstat', {'level': 'FULL'}),
    Case('missing-is-unreachable', 'test_what_is_missing_has_failed_and_is_not_unverified', 'not unreachable',
         {'level': 'FAST'}),
    Case('keeps-good-results', DAMAGED, 'removed'),
    Case('keeps-digests', DAMAGED, 'flipped'),
    Case('reads-all-for-fast', 'test_fast_verification_reads_no_layer', 'reads'),
    Case('first-layer-only', DAMAGED, 'flipped'),
    Case('trusts-its-marker', DAMAGED, 'flipped'),
    Case('collects-results', 'test_reports_of_several_images_are_independent', 'another image'),
    Case('stays-where-it-wrote', MOVED, 'failed'),
    Case('prints', PRINTED, 'verifying'),
    Case('changes-directory', CHDIR, 'chdir is called'),
    Case('leaves-files-open', CLOSED, 'descriptors are open'),
]
INPUTS = [
    Case('OpensOnce', 'test_an_image_can_be_opened_again', 'the source is closed'),
    Case('HoldsWhatItReads', 'test_a_layer_is_never_held_in_memory', 'MiB of memory'),
    Case('RemembersTheFirstImage', REPLACED, 'was there before'),
    Case('RemembersTheFirstDigest', REPLACED, 'present_digest is that of the image before'),
    Case('WritesIntoItsSource', 'test_reading_changes_nothing', 'index.cache'),
    Case('LeavesTemporaryFiles', 'test_reading_changes_nothing', 'left in --temporary'),
    Case('LeaksWhenOpeningFails', CLOSED, 'descriptors are open'),
    Case('GuessesSizes', 'test_a_size_that_is_known_before_is_right', 'tar_size is 10240'),
    Case('PrintsWhatItReads', PRINTED, 'reading'),
]
FILTERS = [
    Case('KeepsTheBlob', 'test_the_blob_of_a_layer_has_its_tar', 'unfiltered'),
    Case('GivesAllTheOwnerOfTheFirst', 'test_layers_give_the_same_bytes_in_any_order', 'between layers'),
    Case('DatesTheConfig', LATER, 'on the clock'),
    Case('OrdersByHash', LATER, 'hash()'),
    Case('ReadsNoFurtherThanTheLastEntry', 'test_a_damaged_layer_is_not_hidden', 'read the layer to its end'),
    Case('LosesWhatWaits', 'test_closing_the_result_closes_the_image', 'copied'),
    Case('PrintsWhatItFilters', PRINTED, 'filtering'),
]
