"""Receipts: whole or refused."""
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from occystrap_core import Expectation, Receipt
from occystrap_core.errors import InvalidReceipt
from occystrap_core.oci import Digest, ImageConfig
from occystrap_core.testing.sample import sample_config, sample_layers

DIFF_IDS = ImageConfig.parse(sample_config()).diff_ids
CONFIG = Expectation('config', 'c.json', Digest.of(sample_config()), len(sample_config()))
RECEIPT = Receipt('x', '/p', {'option': 'ü'}, 'a:b', 's', CONFIG.digest, DIFF_IDS, (CONFIG, *(
    Expectation('layer', f'{digest.hex}.tar', digest, len(tar)) for digest, tar in zip(DIFF_IDS, sample_layers()))),
    form='tar')
TEXT = RECEIPT.to_json()
OLD = json.dumps({**{name: value for name, value in json.loads(TEXT).items() if name not in ('seal', 'form', 'parts')},
                  'receipt': 1})


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a document."""
    for name in document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ():
        yield (*path, name)
        yield from places(document[name], (*path, name))


PLACES = list(places(json.loads(TEXT)))


def test_a_receipt_is_read_as_it_was_written_however_it_is_laid_out() -> None:
    assert Receipt.from_json(TEXT) == RECEIPT and Receipt.from_json(TEXT).sealed
    laid_out = json.dumps(dict(reversed(json.loads(TEXT).items())), indent=4, ensure_ascii=False)
    assert Receipt.from_json(laid_out) == RECEIPT


@pytest.mark.parametrize('path', PLACES, ids=lambda path: '.'.join(map(str, path)))
def test_nothing_can_be_taken_out_or_altered(path: tuple[Any, ...]) -> None:
    for change in ('remove', 'replace'):
        document = json.loads(TEXT)
        parent = document
        for name in path[:-1]:
            parent = parent[name]
        if change == 'remove':
            del parent[path[-1]]
        else:
            parent[path[-1]] = 'something else' if isinstance(parent[path[-1]], str) else 7777777
        with pytest.raises(InvalidReceipt):
            Receipt.from_json(json.dumps(document))


def test_a_seal_cannot_be_disregarded_by_the_number_of_an_earlier_version() -> None:
    assert Receipt.from_json(OLD) and not Receipt.from_json(OLD).sealed
    with pytest.raises(InvalidReceipt, match='its seal does not match'):
        Receipt.from_json(json.dumps({**json.loads(TEXT), 'receipt': 1}))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.integers(1, len(TEXT)), st.text('0123456789abcdef{}[]",: xyz', max_size=8))
def test_no_edit_of_the_text_is_taken_for_another_receipt(start: int, length: int, put: str) -> None:
    edited = TEXT[:start] + put + TEXT[start + length:]
    try:
        assert Receipt.from_json(edited) == RECEIPT
    except InvalidReceipt:
        pass


@pytest.mark.parametrize('end', range(0, len(TEXT), 13))
def test_a_torn_receipt_is_refused(end: int) -> None:
    with pytest.raises(InvalidReceipt):
        Receipt.from_json(TEXT[:end])


def test_an_older_receipt_is_read_and_reported_as_unsealed() -> None:
    old = Receipt.from_json(OLD)
    assert not old.sealed and old.expectations == RECEIPT.expectations and old.form == ''


@pytest.mark.parametrize('lost', range(4))
def test_an_older_receipt_that_leaves_something_out_is_refused(lost: int) -> None:
    document = json.loads(OLD)
    del document['expectations'][lost]
    with pytest.raises(InvalidReceipt, match='is incomplete'):
        Receipt.from_json(json.dumps(document))


@pytest.mark.parametrize('text', [
    '', '{}', '[]', 'null', '7', '"x"', '{"receipt": 3}', '{"receipt": true}', '{"receipt": 1}', '[' * 100_000,
    OLD.replace('"size": ', '"size": 1e400, "x": '), OLD.replace('"size": ', '"size": -'),
    OLD.replace('"/p"', '"/\\u0000"'),
    OLD.replace('"size": ', '"size": true, "x": '), OLD.replace('"scheme": "x"', '"scheme": ["x"]')])
def test_documents_that_are_not_receipts_are_refused(text: str) -> None:
    with pytest.raises(InvalidReceipt):
        Receipt.from_json(text)
