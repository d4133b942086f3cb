"""The verdict: verified if and only if all that a receipt expects was observed as the level asks, and is equal."""
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from occystrap_core import READ, REPORTED, CheckResults, Expectation, Receipt, VerifyLevel
from occystrap_core.oci import Descriptor, Digest, ImageConfig, Manifest
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from occystrap_core.verification.judge import KINDS, judge
from occystrap_core.verification.results import Outcome, Proof

FAST, FULL = VerifyLevel.FAST, VerifyLevel.FULL
CONFIG = sample_config()
DIFF_IDS = ImageConfig.parse(CONFIG).diff_ids
LAYERS = tuple(Expectation('layer', f'{digest.hex}.tar', digest, len(tar))
               for digest, tar in zip(DIFF_IDS, sample_layers(), strict=True))
RECEIPT = Receipt('x', '/p', {}, 'a:b', 's', Digest.of(CONFIG), DIFF_IDS,
                  (Expectation('config', 'c.json', Digest.of(CONFIG), len(CONFIG)), *LAYERS), form='tar')

Report = Callable[[CheckResults, Expectation], None]


def outcome(level: VerifyLevel, *, receipt: Receipt = RECEIPT, reports_only: bool = False,
            config: Report | None = None, layer: Report | None = None) -> Outcome:
    """Return the outcome when configs and layers are reported so, None for not at all."""
    results = CheckResults()
    for each in receipt.expectations:
        if report := config if each.kind == 'config' else layer:
            report(results, each)
    return judge(receipt, level, results, reports_only).outcome


def found(proof: Proof, *, size: bool = True, digest: bool = True) -> Report:
    return lambda results, each: results.found(each, size=each.size if size else None,
                                               digest=each.digest if digest else None, evidence=proof)


def read(results: CheckResults, each: Expectation) -> None:
    results.read(each, CONFIG)


@pytest.mark.parametrize(('level', 'config', 'layer', 'expected'), [
    (FAST, read, found(READ, digest=False), Outcome.VERIFIED),
    (FAST, read, found(REPORTED, digest=False), Outcome.VERIFIED),
    (FAST, read, None, Outcome.UNVERIFIED),
    (FAST, None, found(READ), Outcome.UNVERIFIED),
    (FAST, read, found(REPORTED, size=False, digest=False), Outcome.UNVERIFIED),
    (FAST, found(REPORTED), found(READ), Outcome.UNVERIFIED),
    (FAST, found(READ, digest=False), found(READ), Outcome.UNVERIFIED),
    (FULL, read, found(READ), Outcome.VERIFIED),
    (FULL, read, found(READ, digest=False), Outcome.UNVERIFIED),
    (FULL, read, found(REPORTED), Outcome.UNVERIFIED),
    (FULL, read, lambda results, each: results.missing(each), Outcome.FAILED),
    (FULL, read, lambda results, each: results.unreachable(each, 'the cable is cut'), Outcome.UNVERIFIED),
    (FULL, read, lambda results, each: results.differs(each, 'is a directory'), Outcome.FAILED),
    (FULL, read, lambda results, each: results.found(each, size=each.size + 1, evidence=READ), Outcome.FAILED),
    (FULL, read, lambda results, each: results.found(each, digest=Digest.of(b''), evidence=READ), Outcome.FAILED),
    (FULL, lambda results, each: results.read(each, CONFIG + b' '), found(READ), Outcome.FAILED)])
def test_evidence_that_proves(level: VerifyLevel, config: Report | None, layer: Report | None,
                              expected: Outcome) -> None:
    assert outcome(level, config=config, layer=layer) is expected


def test_a_service_that_gives_no_documents_is_believed_fast_and_never_in_full() -> None:
    says = found(REPORTED, size=False)
    assert outcome(FAST, config=says, layer=says, reports_only=True) is Outcome.VERIFIED
    assert outcome(FULL, config=says, layer=says, reports_only=True) is Outcome.UNVERIFIED
    assert outcome(FAST, config=says, layer=found(REPORTED, digest=False), reports_only=True) is Outcome.UNVERIFIED


def test_one_good_look_does_not_outweigh_a_bad_one() -> None:
    def twice(results: CheckResults, each: Expectation) -> None:
        found(READ)(results, each)
        results.missing(each)
    assert outcome(FAST, config=read, layer=twice) is Outcome.FAILED


@pytest.mark.parametrize('lost', range(len(RECEIPT.expectations)))
def test_an_incomplete_receipt_is_never_verified(lost: int) -> None:
    fewer = RECEIPT.expectations[:lost] + RECEIPT.expectations[lost + 1:]
    assert outcome(FULL, receipt=replace(RECEIPT, expectations=fewer), config=read, layer=found(READ)) in (
        Outcome.UNVERIFIED, Outcome.FAILED)


def test_a_receipt_for_fewer_layers_than_the_config_lists_fails() -> None:
    fewer = replace(RECEIPT, diff_ids=DIFF_IDS[:-1], expectations=RECEIPT.expectations[:-1])
    assert outcome(FULL, receipt=fewer, config=read, layer=found(READ)) is Outcome.FAILED


def test_layers_in_another_order_than_the_config_s_fail() -> None:
    assert outcome(FULL, receipt=replace(RECEIPT, diff_ids=DIFF_IDS[::-1]), config=read,
                   layer=found(READ)) is Outcome.FAILED


def test_unexpected_observations_are_errors() -> None:
    results = CheckResults()
    for each in (*RECEIPT.expectations, Expectation('layer', 'other', Digest.of(b'x'), 1)):
        results.found(each, size=each.size, digest=each.digest, evidence=READ)
    verdict = judge(RECEIPT, FULL, results)
    assert verdict.outcome is Outcome.FAILED and 'the receipt does not expect it' in str(verdict.findings[-1])


def test_a_tree_needs_its_list_its_walk_and_its_origin() -> None:
    tree = Expectation('files', 'tree.mtree', Digest.of(b'list'), 4, covers=(RECEIPT.image_id, *DIFF_IDS))
    receipt = replace(RECEIPT, expectations=(tree,), form='merged')

    def judged(level: VerifyLevel, listed: bool, contents: bool | None, covers: tuple[Digest, ...] = tree.covers,
               ) -> Outcome:
        results = CheckResults()
        if listed:
            results.found(tree, size=4, digest=tree.digest, evidence=READ)
        if contents is not None:
            results.walked(tree, contents=contents, covers=covers)
        return judge(receipt, level, results).outcome
    assert judged(FAST, True, False) is judged(FULL, True, True) is Outcome.VERIFIED
    assert judged(FAST, True, None) is judged(FAST, False, False) is judged(FULL, True, False) is Outcome.UNVERIFIED
    assert judged(FULL, True, True, covers=tree.covers[:-1]) is Outcome.FAILED


def test_the_json_says_how_each_thing_was_observed() -> None:
    results = CheckResults()
    results.read(RECEIPT.expectations[0], CONFIG)
    results.found(LAYERS[0], size=LAYERS[0].size, evidence=REPORTED)
    config, layer, unseen, _ = judge(RECEIPT, FAST, results).to_json()
    assert config['outcome'] == 'verified' and config['observed'][0]['how'] == 'read'
    assert config['observed'][0]['digest'] == RECEIPT.image_id
    assert layer['observed'] == [{'presence': 'found', 'how': 'reported', 'size': LAYERS[0].size, 'digest': None,
                                  'contents': False, 'reason': None}]
    assert unseen['observed'] == [] and unseen['outcome'] == 'unverified'


def test_kinds_that_need_less_than_their_digest_are_few() -> None:
    assert sorted(KINDS) == ['files', 'layer', 'referrer', 'tag'], 'each of these is a way to prove less: think twice'


def test_a_stored_image_s_manifest_must_name_what_the_receipt_expects() -> None:
    manifest = sample_image().manifest
    assert manifest
    expected = [Expectation('manifest', 'v1', manifest.digest, len(manifest.raw)),
                Expectation('config', 'c', manifest.config.digest, manifest.config.size),
                *(Expectation('layer', each.digest, each.digest, each.size, covers=(diff_id,))
                  for each, diff_id in zip(manifest.layers, DIFF_IDS, strict=True))]
    whole = Receipt('x', '/p', {}, 'a:b', 's', RECEIPT.image_id, DIFF_IDS, expected, manifest.digest, form='stored')
    other = Expectation('layer', 'other', Digest.of(b'other'), 5, covers=(DIFF_IDS[2],))
    swapped = replace(whole, expectations=(*expected[:-1], other))
    for receipt, verdict in ((whole, Outcome.VERIFIED), (swapped, Outcome.FAILED)):
        results = CheckResults()
        for each in receipt.expectations:
            if each.kind == 'layer':
                results.found(each, size=each.size, digest=each.digest, evidence=READ)
            else:
                results.read(each, manifest.raw if each.kind == 'manifest' else CONFIG)
        assert receipt.gap() == '' and judge(receipt, FULL, results).outcome is verdict


def messages(level: VerifyLevel, *reports: Report) -> list[str]:
    """Return the findings about the first layer, of which all these observations are made."""
    results = CheckResults()
    for each in RECEIPT.expectations:
        for report in reports if each == LAYERS[0] else (read,) if each.kind == 'config' else (found(READ),):
            report(results, each)
    return [each.message for each in judge(RECEIPT, level, results).problems]


def test_partial_checks_are_described() -> None:
    assert messages(FULL, found(REPORTED)) == ['only what a service reports was checked, not its bytes read and hashed']
    assert messages(FULL, found(READ, digest=False)) == ['only a part of it was checked, not its bytes read and hashed']
    assert messages(FULL, found(REPORTED), found(READ, digest=False))[0].startswith('only a part of it')
    assert messages(FULL) == ['it was not checked']


def test_the_same_difference_is_said_once() -> None:
    def smaller(results: CheckResults, each: Expectation) -> None:
        results.found(each, size=each.size - 1, evidence=READ)

    def other(results: CheckResults, each: Expectation) -> None:
        results.found(each, size=each.size, digest=Digest.of(b'x'), evidence=READ)
    judged = messages(FULL, smaller, other, smaller, other)
    assert len(judged) == 2 and judged[0].startswith('size in bytes is') and judged[1].startswith('digest is')


def look_of(expected: Expectation, *reports: Report, level: VerifyLevel = FULL) -> list[str]:
    """Return the findings about one expectation."""
    results = CheckResults()
    for report in reports:
        report(results, expected)
    verdict = judge(replace(RECEIPT, expectations=(expected, *RECEIPT.expectations[1:])), level, results)
    return [str(each) for each in verdict.findings if each.item == str(expected) and 'incomplete' not in each.message]


LAYER = LAYERS[0]


@pytest.mark.parametrize(('reports', 'message'), [
    ([], 'it was not checked'), ([found(REPORTED)],
                                 'only what a service reports was checked, not its bytes read and hashed'),
    ([found(READ, digest=False)], 'only a part of it was checked, not its bytes read and hashed'),
    ([found(REPORTED), found(READ, digest=False)], 'only a part of it was checked, not its bytes read and hashed'),
    ([lambda results, each: results.unreachable(each, '')], 'could not be checked'),
    ([lambda results, each: results.missing(each)], f'is missing, expected {LAYER.size} bytes'),
    ([lambda results, each: results.missing(each, 'is gone')], 'is gone'),
    ([lambda results, each: results.differs(each, 'is a pipe')], 'is a pipe'),
    ([lambda results, each: results.found(each, size=1, evidence=READ)], f'size in bytes is 1, expected {LAYER.size}'),
    ([lambda results, each: results.found(each, digest=Digest.of(b''), evidence=READ)],
     f'digest is {Digest.of(b"")}, expected {LAYER.digest}')])
def test_messages_about_an_expectation(reports: list[Report], message: str) -> None:
    assert look_of(LAYER, *reports) == [f'{LAYER}: {message}']


def test_the_same_finding_is_reported_once() -> None:
    missing: Report = lambda results, each: results.missing(each)  # noqa: E731
    differs: Report = lambda results, each: results.differs(each, 'is a pipe')  # noqa: E731
    assert look_of(LAYER, missing, missing) == look_of(LAYER, missing)
    assert len(look_of(LAYER, missing, differs, missing)) == 2
    assert len(look_of(LAYER, missing, differs)) == 2


def test_layers_of_a_tree_are_compared() -> None:
    tree = Expectation('files', 'rootfs.mtree', Digest.of(b'list'), 4, covers=(Digest.of(b'a'),))
    hashed: Report = lambda results, each: results.found(each, size=4, digest=each.digest, evidence=READ)  # noqa: E731

    def walked(*covers: bytes, contents: bool = True) -> Report:
        return lambda results, each: results.walked(each, contents=contents,
                                                    covers=[Digest.of(name) for name in covers])
    assert look_of(tree, hashed, walked(b'a')) == [] == look_of(tree, hashed, walked(b'a', contents=False), level=FAST)
    assert look_of(tree, hashed, walked(b'b')) == [
        f'{tree}: was made from {Digest.of(b"b")}, expected {Digest.of(b"a")}']
    assert look_of(tree, hashed, walked()) == [f'{tree}: was made from nothing, expected {Digest.of(b"a")}']
    assert look_of(tree, hashed, walked(b'a', contents=False)) == [
        f'{tree}: only a part of it was checked, not its list read, every entry compared and every file read']
    assert look_of(tree, hashed) == look_of(tree, hashed, walked(b'a', contents=False))
    assert look_of(tree, walked(b'a')) != [] and look_of(tree, walked(b'a'), level=FAST) != []


def test_an_entry_must_mean_its_own_image() -> None:
    """Another image that the receipt expects, such as a referrer, is none of its own."""
    other, own = b'{"other": 1}', b'{"own": 1}'
    manifests = tuple(Expectation('manifest', str(Digest.of(raw)), Digest.of(raw), len(raw)) for raw in (other, own))
    for means, message in ((own, []), (other, ['means another image']),
                           (b'x', [f'means {Digest.of(b"x")}, which the receipt does not expect'])):
        raw = b'{"digest": "%s"}' % Digest.of(means).encode()
        entry = Expectation('entry', 'index.json#1', Digest.of(raw), len(raw))
        expected = (*RECEIPT.expectations, *manifests, entry)
        receipt = replace(RECEIPT, manifest_digest=Digest.of(own), expectations=expected)
        results = CheckResults()
        results.read(entry, raw)
        said = [each.message for each in judge(receipt, FULL, results).findings if each.item == str(entry)]
        assert said == message


def test_documents_that_cannot_be_parsed_are_contradictions() -> None:
    raw = b'{"no": "manifest"}'
    manifest = Expectation('manifest', 'm.json', Digest.of(raw), len(raw))
    receipt = replace(RECEIPT, form='stored', manifest_digest=manifest.digest, expectations=(*RECEIPT.expectations,
                                                                                             manifest))
    results = CheckResults()
    for each in receipt.expectations:
        if each.kind == 'manifest':
            results.read(each, raw)
        else:
            (read if each.kind == 'config' else found(READ))(results, each)
    verdict = judge(receipt, FULL, results)
    assert verdict.outcome is Outcome.FAILED and [each.item for each in verdict.findings] == [str(manifest)]


@pytest.mark.parametrize(('diff_ids', 'outcome'), [(DIFF_IDS, Outcome.VERIFIED), (DIFF_IDS[::-1], Outcome.FAILED)])
def test_an_image_of_odd_media_types_must_have_the_layers_that_its_config_lists(diff_ids: Sequence[Digest],
                                                                                outcome: Outcome) -> None:
    blobs = sample_image().manifest
    assert blobs
    manifest = Manifest.build(Descriptor('application/octet-stream', Digest.of(CONFIG), len(CONFIG)), blobs.layers)
    expected = [Expectation('manifest', 'v1', manifest.digest, len(manifest.raw)), RECEIPT.expectations[0],
                *(Expectation('layer', each.digest, each.digest, each.size, covers=(diff_id,))
                  for each, diff_id in zip(blobs.layers, diff_ids, strict=True))]
    results = CheckResults()
    results.read(expected[0], manifest.raw)
    results.read(expected[1], CONFIG)
    for each in expected[2:]:
        found(READ)(results, each)
    receipt = Receipt('x', '/p', {}, 'a:b', 's', RECEIPT.image_id, diff_ids, expected, manifest.digest, form='stored')
    verdict = judge(receipt, FULL, results)
    assert verdict.outcome is outcome
    assert [each.message.partition(' is ')[0] for each in verdict.findings] == (
        [] if outcome is Outcome.VERIFIED else ['the list of diff_ids'])


def test_a_config_that_cannot_be_parsed_is_a_contradiction() -> None:
    raw = b'[]'
    config = Expectation('config', 'c.json', Digest.of(raw), len(raw))
    receipt = replace(RECEIPT, image_id=config.digest, expectations=(config, *LAYERS))
    results = CheckResults()
    results.read(config, raw)
    for each in LAYERS:
        found(READ)(results, each)
    verdict = judge(receipt, FULL, results)
    assert verdict.outcome is Outcome.FAILED and [each.item for each in verdict.findings] == [str(config)]
