"""No edit of a receipt that takes out or alters an expectation ends in verified, not even one with a new seal."""
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core.errors import InvalidReceipt
from occystrap_core.oci import Digest
from occystrap_core.receipts.destination_check import verify_receipt
from occystrap_core.receipts.receipt_lines import read_receipts
from occystrap_core.settings import Settings, VerifyLevel
from occystrap_core.verification.expectation import Expectation
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import Outcome
from tests.hostile.in_process import run_here
from tests.hostile.writers.images import NEW, OLD
from tests.hostile.writers.places import InDirectory, Place
from tests.services.installed import installed_plugins

PLUGINS = installed_plugins()
OTHER = Digest.of(b'something else')


@pytest.fixture
def receipt(place: Place, archives: dict[str, str], tmp_path: Path) -> Receipt:
    """The receipt of an image that was just written to the place."""
    run_here('process', archives[OLD], place.uri, '--receipt', tmp_path / 'receipt').assert_success()
    written, = read_receipts(str(tmp_path / 'receipt'))
    return written


def edits(receipt: Receipt) -> Iterator[tuple[str, Receipt]]:
    """Yield receipts that lack something or say something else, each with the words for it."""
    whole = tuple(receipt.expectations)
    yield 'nothing left', replace(receipt, expectations=())
    for number, each in enumerate(whole):
        rest = whole[:number] + whole[number + 1:]
        yield f'without {each}', replace(receipt, expectations=rest)
        yield f'only {each}', replace(receipt, expectations=(each,))
        for what, other in altered(each):
            yield f'{each} with another {what}', replace(
                receipt, expectations=whole[:number] + (other,) + whole[number + 1:])
    for number in range(len(receipt.diff_ids)):
        fewer = [*receipt.diff_ids[:number], *receipt.diff_ids[number + 1:]]
        yield f'without diff_id {number}', replace(receipt, diff_ids=fewer)
        kept = [each for each in whole if receipt.diff_ids[number] not in (each.digest, *each.covers)]
        yield f'without layer {number} and its diff_id', replace(receipt, diff_ids=fewer, expectations=kept)
    yield 'without its form', replace(receipt, form='')
    if receipt.parts:
        yield 'without its parts', replace(receipt, parts=())
    for number in range(len(receipt.parts)):
        yield f'without part {number}', replace(receipt, parts=[*receipt.parts[:number], *receipt.parts[number + 1:]])
    yield 'another image', replace(receipt, image_id=OTHER)
    if receipt.form == 'stored':
        yield 'another manifest', replace(receipt, manifest_digest=OTHER)
        yield 'without its manifest', replace(receipt, manifest_digest=None, expectations=[
            each for each in whole if each.kind != 'manifest'])


def altered(expected: Expectation) -> Iterator[tuple[str, Expectation]]:
    yield 'digest', expected._replace(digest=OTHER)
    if expected.kind not in ('tag', 'referrer'):  # a name has no size
        yield 'size', expected._replace(size=expected.size + 1)
    yield 'place', expected._replace(locator=f'{expected.locator}x')
    yield 'kind', expected._replace(kind='unheard-of')
    if expected.covers:
        yield 'origin', expected._replace(covers=(OTHER, *expected.covers[1:]))


@pytest.mark.parametrize('level', [VerifyLevel.FAST, VerifyLevel.FULL])
def test_no_edit_is_verified(place: Place, receipt: Receipt, level: VerifyLevel) -> None:
    assert outcome(receipt, level) == 'verified'
    is_daemon = receipt.scheme == 'docker'  # which reports no sizes
    seen = {words: outcome(edited, level) for words, edited in edits(receipt)}
    believed = [words for words, verdict in seen.items() if verdict == 'verified']
    assert not [words for words in believed if not (is_daemon and words.endswith('size'))], believed


def outcome(receipt: Receipt, level: VerifyLevel) -> str:
    """Return what becomes of a receipt that is read from its text, with a seal that fits."""
    return outcome_of_text(receipt.to_json(), level)


def outcome_of_text(text: str, level: VerifyLevel) -> str:
    """Return what becomes of a receipt that is read from a text."""
    try:
        read = Receipt.from_json(text)
    except InvalidReceipt:
        return 'refused'
    settings = Settings(retries=0, jobs=2, timeout=5)
    with closing(settings.shared):
        return verify_receipt(PLUGINS, read, level, settings).outcome.value


def as_version_1(receipt: Receipt) -> str:
    """Return a receipt as the first version wrote it: without a seal, and without what a thing was made from."""
    document = {**json.loads(receipt.to_json()), 'receipt': 1}
    for name in ('seal', 'form', 'parts'):
        del document[name]
    for each in document['expectations']:
        each.pop('covers', None)
    return json.dumps(document)


def test_a_receipt_of_another_image_in_the_same_place_is_not_verified(
        place: Place, archives: dict[str, str], receipt: Receipt) -> None:
    run_here('process', archives[NEW], place.uri).assert_success()
    assert outcome(receipt, VerifyLevel.FAST) == Outcome.FAILED.value
    for edited in elsewhere(receipt, lambda each: str(each.digest)):
        assert outcome(edited, VerifyLevel.FAST) != 'verified', edited.expectations


def test_a_file_beside_those_that_readers_look_for_proves_nothing(place: Place, receipt: Receipt) -> None:
    """Each file of the place is replaced, and what it was is found where a receipt with a new seal says."""
    if not isinstance(place, InDirectory) or not place.path.is_dir():
        return
    (place.path / 'beside').mkdir()
    for edited in elsewhere(receipt, lambda each: f'beside/{each.digest.hex}'):
        moved, = (each for each in edited.expectations if each not in receipt.expectations)
        there = next((place.path / each.locator for each in receipt.expectations if each.digest == moved.digest))
        if not there.is_file():
            continue
        before = there.read_bytes()
        (place.path / moved.locator).write_bytes(before)
        there.write_bytes(bytes(len(before)))
        assert outcome(edited, VerifyLevel.FULL) != 'verified', moved
        assert outcome_of_text(as_version_1(edited), VerifyLevel.FULL) != 'verified', moved
        there.write_bytes(before)


def elsewhere(receipt: Receipt, locate: Callable[[Expectation], str]) -> Iterator[Receipt]:
    """Yield receipts, each of which looks for one thing elsewhere."""
    whole = tuple(receipt.expectations)
    for number, each in enumerate(whole):
        if locate(each) != each.locator:
            yield replace(receipt, expectations=(
                *whole[:number], each._replace(locator=locate(each)), *whole[number + 1:]))
