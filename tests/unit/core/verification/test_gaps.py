"""What a receipt must expect, by its form and kind; and what its properties say."""
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from occystrap_core import Evidence, Expectation, Receipt
from occystrap_core.errors import InvalidReceipt
from occystrap_core.oci import Digest
from occystrap_core.verification.expectation import Part
from occystrap_core.verification.provenance import RecordedVerdict
from occystrap_core.verification.receipt import KeptReceipts
from occystrap_core.verification.results import CheckResult, CheckResults, Severity, problems


def digest(name: str) -> Digest:
    return Digest.of(name.encode())


def expect(kind: str, name: str, *covers: str, evidence: Evidence = Evidence.STREAMED) -> Expectation:
    return Expectation(kind, f'{name}.file', digest(name), 1, evidence, tuple(map(digest, covers)))


CONFIG, MANIFEST, LOWER, UPPER = (expect('config', 'config'), expect('manifest', 'manifest'), expect('layer', 'lower'),
                                  expect('layer', 'upper'))


def receipt(*expectations: Expectation, form: str = '', layers: Sequence[str] = ('lower', 'upper'),
            manifest: str = 'manifest',
            image: str = 'config', parts: Sequence[Part] = ()) -> Receipt:
    return Receipt('dir', '/p', {}, 'a:b', 's', digest(image), tuple(map(digest, layers)), expectations,
                   digest(manifest),
                   form=form, parts=parts)


PART = Part(digest('manifest'), digest('config'), (digest('lower'), digest('upper')))


def index(*expectations: Expectation, form: str = 'stored', parts: Sequence[Part] = (PART,)) -> Receipt:
    return receipt(*expectations, form=form, layers=(), manifest='index', image='index', parts=parts)


INDEX = expect('index', 'index')
TREE = expect('files', 'tree', 'config', 'lower', 'upper')
GAPS: dict[str, tuple[Receipt, str]] = {
    'nothing': (receipt(), 'it expects nothing'), 'nothing in a form': (receipt(form='tar'), 'it expects nothing'),
    'stored': (receipt(CONFIG, MANIFEST, LOWER, UPPER, form='stored'), ''),
    'stored without manifest': (receipt(CONFIG, LOWER, UPPER, form='stored'),
                                f'it does not expect manifest {digest("manifest")}'),
    'stored without config': (receipt(MANIFEST, LOWER, UPPER, form='stored'),
                              f'it does not expect config {digest("config")}'),
    'stored without layer': (receipt(CONFIG, MANIFEST, LOWER, form='stored'),
                             f'it does not expect layer {digest("upper")}'),
    'a blob that covers its layer': (receipt(CONFIG, MANIFEST, LOWER, expect('layer', 'blob', 'upper'), form='stored'),
                                     ''),
    'a document that covers no layer': (receipt(CONFIG, LOWER, expect('tag', 'x', 'config', 'upper'), form='tar'),
                                        f'it does not expect layer {digest("upper")}'),
    'a document that covers the image': (receipt(expect('catalog', 'x', 'config', 'lower', 'upper'), LOWER, UPPER,
                                                 form='tar'), ''),
    'a document that covers less': (receipt(expect('catalog', 'x', 'config'), LOWER, UPPER, form='tar'),
                                    'catalog x.file was made from other layers'),
    'tar': (receipt(CONFIG, LOWER, UPPER, form='tar'), ''),
    'tar without layers': (receipt(CONFIG, form='tar'),
                           f'it does not expect layer {digest("lower")}, layer {digest("upper")}'),
    'three at most are named': (receipt(CONFIG, form='tar', layers='abcd'),
                                f'it does not expect layer {digest("a")}, layer {digest("b")}, layer {digest("c")}'),
    'merged': (receipt(TREE, form='merged'), ''),
    'merged of one layer alone': (receipt(expect('files', 'tree', 'config', 'lower'), form='merged'),
                                  f'it does not expect layer {digest("upper")}'),
    'merged of other order': (receipt(expect('files', 'tree', 'config', 'upper', 'lower'), form='merged'),
                              'files tree.file was made from other layers'),
    'merged of more': (receipt(expect('files', 'tree', 'config', 'lower', 'upper', 'more'), form='merged'),
                       'files tree.file was made from other layers'),
    'an index': (index(INDEX, CONFIG, MANIFEST, LOWER, UPPER), ''),
    'an index without itself': (index(CONFIG, MANIFEST, LOWER, UPPER), f'it does not expect index {digest("index")}'),
    'an index without a part': (index(INDEX, CONFIG, MANIFEST, LOWER), f'it does not expect layer {digest("upper")}'),
    'an index without parts': (index(INDEX, CONFIG, MANIFEST, parts=()),
                               'it does not say which image manifest manifest.file belongs to'),
    'an index of nothing': (index(INDEX, parts=()), ''),
    'an old index': (index(INDEX, form='', parts=()), ''),
    'old': (receipt(CONFIG, LOWER, UPPER), ''), 'old with a tree': (receipt(TREE), ''),
    'old without config': (receipt(LOWER, UPPER), f'it does not expect config {digest("config")}'),
    'old without one layer': (receipt(CONFIG, UPPER), f'it does not expect layer {digest("lower")}'),
    'old with blobs': (receipt(CONFIG, expect('layer', 'x'), expect('layer', 'y')), ''),
    'old with fewer blobs': (receipt(CONFIG, expect('layer', 'x')), '1 layers are missing'),
    'old with one blob twice': (receipt(CONFIG, expect('layer', 'x'), layers=('lower', 'lower')), ''),
    'old with more blobs': (receipt(CONFIG, *(expect('layer', each) for each in 'xyz')), ''),
    'old without layers': (receipt(CONFIG, layers=()), ''),
}


@pytest.mark.parametrize('what', GAPS)
def test_gaps_of_receipts(what: str) -> None:
    found, gap = GAPS[what]
    assert found.gap() == gap
    if found.form and gap:
        with pytest.raises(InvalidReceipt, match='the receipt for dir:///p is incomplete: '):
            Receipt.from_json(found.to_json())
    elif found.form:
        assert Receipt.from_json(found.to_json()) == found


def test_a_referrer_is_a_part_besides_the_image_itself() -> None:
    other = Part(digest('m2'), digest('c2'), ())
    found = receipt(CONFIG, MANIFEST, LOWER, UPPER, form='stored', parts=[other])
    assert found.all_parts() == [Part(digest('manifest'), digest('config'), found.diff_ids), other]
    assert found.gap() == f'it does not expect config {digest("c2")}, manifest {digest("m2")}'
    assert index(INDEX).all_parts() == [PART]


@pytest.mark.parametrize(('found', 'keeps'), [
    (receipt(CONFIG, MANIFEST, form='stored'), True), (receipt(CONFIG, MANIFEST, form='tar'), False),
    (receipt(CONFIG), False),
    (receipt(CONFIG, MANIFEST), True), (receipt(CONFIG, expect('manifest', 'other')), False), (index(INDEX, form=''),
                                                                                               True)])
def test_which_destinations_keep_manifests(found: Receipt, keeps: bool) -> None:
    assert found.keeps_manifests is keeps


def test_the_weakest_evidence_counts() -> None:
    weak = expect('layer', 'lower', evidence=Evidence.DESCRIPTOR)
    assert receipt(CONFIG, LOWER).evidence is Evidence.STREAMED
    assert receipt(CONFIG, weak).evidence is Evidence.DESCRIPTOR
    assert receipt().evidence is Evidence.STREAMED


def test_one_image_in_one_place_has_one_identity() -> None:
    old = replace(receipt(CONFIG), options={'b': '1', 'a': '2'})
    assert old.identity == ('dir', '/p', 'a:b', (('a', '2'), ('b', '1')))
    assert replace(old, place='/real').identity == ('dir', '/real', 'a:b', ()) == replace(old, place='/real',
                                                                                          path='/q').identity
    assert old.at('/q').path == '/q' and old.at('/q').destination == 'dir:///q' and old.is_index is False
    assert index(INDEX).is_index is True and old.of_kind('config', 'layer') == [CONFIG] and old.of_kind('layer') == []


def test_a_receipt_comes_back_with_all_it_had() -> None:
    found = replace(receipt(CONFIG, MANIFEST, expect('layer', 'blob', 'lower', evidence=Evidence.DESCRIPTOR), UPPER,
                            form='stored'),
                    options={'a': 'b'}, place='/real', source_digest=digest('source'),
                    verdict=RecordedVerdict('verified', 'full', '2026-01-02T03:04:05Z'))
    text = found.to_json()
    assert '\n' not in text and Receipt.from_json(text) == found and Receipt.from_json(text.encode()).sealed is True
    document = json.loads(text)
    assert document['receipt'] == 2 and document['verdict'] == {
        'outcome': 'verified', 'level': 'full', 'time': '2026-01-02T03:04:05Z'}
    assert document['expectations'][2]['covers'] == [digest('lower')] and 'covers' not in document['expectations'][0]
    assert 'verdict' not in json.loads(found.with_verdict(None).to_json())


def old_document(**changes: object) -> str:
    document = json.loads(receipt(CONFIG, LOWER, UPPER).to_json())
    del document['seal']
    return json.dumps({**document, 'receipt': 1, **changes})


@pytest.mark.parametrize(('changes', 'words'), [
    ({'receipt': 3}, 'the receipt has version 3, this program reads 2 and 1'), ({'receipt': True}, 'has version True'),
    ({'receipt': 0}, 'has version 0'), ({'scheme': 7}, "'7' is not a text"), ({'path': 'a\0b'}, 'is not a text'),
    ({'options': {'a': 1}}, "'1' is not a text"), ({'manifest_digest': 'x'}, 'this is not a receipt'),
    ({'diff_ids': ['x']}, 'this is not a receipt')])
def test_malformed_fields_are_named(changes: dict[str, object], words: str) -> None:
    assert Receipt.from_json(old_document()).sealed is False
    with pytest.raises(InvalidReceipt, match=words):
        Receipt.from_json(old_document(**changes))


@pytest.mark.parametrize(('size', 'is_right'), [(0, True), (1, True), (-1, False), (True, False), (1.5, False),
                                                ('1', False)])
def test_sizes_are_numbers_of_bytes(size: object, is_right: bool) -> None:
    document = json.loads(old_document())
    document['expectations'][0]['size'] = size
    if is_right:
        assert Receipt.from_json(json.dumps(document)).expectations[0].size == size
    else:
        with pytest.raises(InvalidReceipt, match='has an invalid size'):
            Receipt.from_json(json.dumps(document))


def test_old_receipts_have_no_verdict_form_or_parts() -> None:
    verdict = {'outcome': 'verified', 'level': 'full', 'time': 'x'}
    found = Receipt.from_json(old_document(verdict=verdict, form='stored', parts=[{'manifest_digest': None}]))
    assert (found.verdict, found.form, found.parts, found.sealed) == (None, '', (), False)


def test_a_sealed_receipt_of_an_unknown_form_is_refused() -> None:
    with pytest.raises(InvalidReceipt, match="'loose' is not a form of layers"):
        Receipt.from_json(replace(receipt(CONFIG, LOWER, UPPER), form='loose').to_json())


def test_results_of_verifiers_add_up() -> None:
    one, two = CheckResults(), CheckResults([CheckResult(Severity.INFO, 'x', 'y')])
    assert not one.has_unreachable
    one.error('a', 'b')
    one.warning('c', 'd')
    one.info('e', 'f')
    one.unverified('g', 'h')
    one.unreachable(CONFIG, 'why')
    two.missing(LOWER)
    two.extend(one)
    assert [(each.severity, str(each)) for each in two.results] == [
        (Severity.INFO, 'x: y'), (Severity.ERROR, 'a: b'), (Severity.WARNING, 'c: d'), (Severity.INFO, 'e: f'),
        (Severity.UNVERIFIED, 'g: h')]
    assert [each.expectation for each in two.observations] == [LOWER, CONFIG] and one.has_unreachable
    assert two.has_unreachable
    assert [str(each) for each in problems(two.results)] == ['a: b', 'g: h'] and len(one.results) == 4
    assert KeptReceipts((), ()).receipts == ()


def test_a_receipt_of_this_run_needs_no_seal() -> None:
    assert receipt(CONFIG).sealed is True and receipt(CONFIG).verdict is None and receipt(CONFIG).source_digest is None
