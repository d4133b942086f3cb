"""Small parts of a run: what writers may return, whose reports count, which layers a filter may have changed."""
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from occystrap_core import (
    CheckResults, Expectation, Location, Receipt, ServiceUnavailable, Settings, VerifyLevel, WriterScheme,
)
from occystrap_core.api.written_image import LayerForm, PlacedLayer
from occystrap_core.errors import PluginError
from occystrap_core.layers.outgoing_layer import Outgoing
from occystrap_core.oci import Digest
from occystrap_core.receipts.destination_check import verify_receipt
from occystrap_core.receipts.written_receipt import require_receipt
from occystrap_core.verification.results import Observation, Outcome, Presence, Proof
from tests.unit.core.pipeline.memory import MemoryOutput
from tests.unit.core.pipeline.test_image_copy import image_of, without
from tests.unit.core.verification.test_gaps import CONFIG, LOWER, UPPER, digest, receipt

WHOLE = receipt(CONFIG, LOWER, UPPER, form='tar')
OUTPUT = MemoryOutput(Location('memory', 'shelf', {}, {}), Settings())


def placed(size: int) -> PlacedLayer:
    return PlacedLayer(0, LOWER.digest, None, 'x', LOWER.digest, size, LOWER.evidence)


def test_a_whole_receipt_of_the_image_is_taken() -> None:
    assert require_receipt(WHOLE, OUTPUT, WHOLE.image_id, [placed(1)]) is WHOLE
    assert require_receipt(WHOLE, OUTPUT, WHOLE.image_id) is WHOLE


@pytest.mark.parametrize(('given', 'image', 'layers', 'words'), [
    (None, 'config', [], 'MemoryOutput returned None instead of a Receipt'),
    (WHOLE, 'other', [], f'returned a receipt of another image: {digest("config")}, expected {digest("other")}'),
    (replace(WHOLE, expectations=(CONFIG,)), 'config', [], 'returned an incomplete receipt: it does not expect layer'),
    (WHOLE, 'config', [placed(2)], f'with 1 bytes for layer {LOWER.digest}, but 2 bytes were read')])
def test_other_results_of_writers_are_mistakes_of_the_plugin(given: object, image: str, layers: list[PlacedLayer],
                                                             words: str) -> None:
    with pytest.raises(PluginError, match=words):
        require_receipt(given, OUTPUT, digest(image), layers)


def test_which_layers_a_filter_may_have_changed() -> None:
    image = image_of(b'a' * 512)
    plain, changed = image.layers[0], without('x', image).layers[0]
    for layer, is_filtered in ((plain, False), (changed, True)):
        outgoing = Outgoing(layer, LayerForm.STORED, lambda count: None)
        assert outgoing.filtered is is_filtered and outgoing.index == 0
    assert Outgoing(plain, LayerForm.STORED, lambda count: None).descriptor == plain.descriptor
    assert Outgoing(plain, LayerForm.TAR, lambda count: None).descriptor is None


class Machine:
    """Plugins that declare schemes and verify."""

    def __init__(self, *verifiers: Any, schemes: tuple[str, ...] = ('dir',)) -> None:
        self._plugins = [(SimpleNamespace(name=f'plugin-{number}', key=number, __str__=None), verifier, scheme)
                         for number, (verifier, scheme) in enumerate(zip(verifiers, schemes, strict=False))]

    def declared(self, kind: object) -> Iterator[tuple[Any, WriterScheme]]:
        return iter([(plugin, WriterScheme(scheme, 'x:y')) for plugin, _, scheme in self._plugins])

    def hooks(self, name: str) -> Iterator[tuple[Any, Any]]:
        return iter([(plugin, verifier) for plugin, verifier, _ in self._plugins])


def all_found(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    results = CheckResults()
    for each in receipt.expectations:
        results.found(each, size=each.size, digest=each.digest, evidence=Proof.READ)
    return results


def verdict_of(machine: Machine) -> tuple[Outcome, str]:
    found = verify_receipt(machine, WHOLE, VerifyLevel.FULL, Settings())  # type: ignore[arg-type]
    return found.outcome, '\n'.join(map(str, found.findings))


def nothing(**_: object) -> None:
    return None


def unreachable(**_: object) -> CheckResults:
    raise ServiceUnavailable('no route')


def crashing(**_: object) -> CheckResults:
    raise KeyError('oops')


def without_memory(**_: object) -> CheckResults:
    raise MemoryError


def test_the_owner_of_a_scheme_proves_an_image() -> None:
    assert verdict_of(Machine(all_found)) == (Outcome.VERIFIED, '')
    assert verdict_of(Machine(all_found, nothing, schemes=('dir', 'other'))) == (Outcome.VERIFIED, '')


@pytest.mark.parametrize(('machine', 'outcome', 'words'), [
    (Machine(nothing, all_found, schemes=('dir', 'other')), Outcome.UNVERIFIED,
     'its observations are ignored: dir:// is not its scheme'),
    (Machine(all_found, all_found, schemes=('dir', 'dir')), Outcome.UNVERIFIED, 'dir:///p: dir:// is claimed by'),
    (Machine(nothing), Outcome.UNVERIFIED, 'dir:///p: no installed plugin verifies dir://'),
    (Machine(lambda **_: CheckResults()), Outcome.UNVERIFIED, 'reported nothing'),
    (Machine(unreachable), Outcome.UNVERIFIED, 'plugin-0: no route'),
    (Machine(without_memory), Outcome.UNVERIFIED, 'plugin-0: out of memory, or of threads: give lower -j and -J'),
    (Machine(crashing), Outcome.FAILED, "its verifier failed: KeyError: 'oops'; report it to its author"),
    (Machine(lambda **_: 7), Outcome.FAILED, 'verify_output returned 7 instead of CheckResults or None'),
    (Machine(all_found, crashing, schemes=('dir', 'other')), Outcome.FAILED, 'its verifier failed')])
def test_other_reports_prove_nothing(machine: Machine, outcome: Outcome, words: str) -> None:
    found, text = verdict_of(machine)
    assert found is outcome and words in text


EXPECTED = Expectation('layer', 'x', Digest.of(b'x'), 1)


@pytest.mark.parametrize(('seen', 'contradicts'), [
    (Observation(EXPECTED, Presence.FOUND), False), (Observation(EXPECTED, Presence.UNREACHABLE), False),
    (Observation(EXPECTED, Presence.MISSING), True), (Observation(EXPECTED, Presence.DIFFERENT), True),
    (Observation(EXPECTED, Presence.FOUND, size=1), False), (Observation(EXPECTED, Presence.FOUND, size=2), True),
    (Observation(EXPECTED, Presence.FOUND, digest=EXPECTED.digest), False),
    (Observation(EXPECTED, Presence.FOUND, digest=Digest.of(b'y')), True),
    (Observation(EXPECTED, Presence.FOUND, document=b'x'), False), (Observation(EXPECTED, Presence.FOUND,
                                                                                document=b'y'), True)])
def test_contradicted_expectations(seen: Observation, contradicts: bool) -> None:
    assert seen.contradicts is contradicts
