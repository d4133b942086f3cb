"""Receipts made of those of two images at one place: what one name means, with the content of another image."""
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

import pytest

from occystrap_core import Expectation, Receipt, VerifyLevel
from occystrap_core.errors import InvalidReceipt
from occystrap_core.oci import Digest, canonical
from occystrap_core.receipts.receipt_lines import read_receipts
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.hostile.writers.test_edited_receipts import as_version_1, outcome, outcome_of_text
from tests.services.registry import Registry

PLACES = {
    'dir': 'dir://{directory}/out?unique_names=true', 'layout': 'layout://{directory}/out',
    'mounts': 'mounts://{directory}/out', 'tar': 'tar://{directory}/out?format=oci',
    'registry': 'registry://{host}/grafted/{{name}}:{{tag}}',
}


@pytest.fixture(params=PLACES)
def written(request: pytest.FixtureRequest, registry: Registry, tmp_path: Path) -> list[Receipt]:
    """The receipts of two images at one place."""
    uri = PLACES[request.param].format(directory=tmp_path, host=registry.host)
    names = 'one', 'two'
    for name in names:
        layers = sample_layers(name)
        write_docker_archive(tmp_path / name, sample_config(layers), layers, f'team/{name}:v1')
    (tmp_path / 'list').write_text(''.join(f'tar://{tmp_path}/{name}\n' for name in names))
    run_here('process', f'list://{tmp_path}/list', uri, '--receipt', tmp_path / 'receipt').assert_success()
    return read_receipts(str(tmp_path / 'receipt'))


def grafts(one: Receipt, other: Receipt) -> Iterator[tuple[str, Receipt]]:
    """Yield receipts of `other` that have some kinds of expectations of `one` instead."""
    kinds = sorted({each.kind for each in one.expectations})
    for taken in chain.from_iterable(combinations(kinds, count) for count in range(1, len(kinds))):
        expected = [*one.of_kind(*taken), *(each for each in other.expectations if each.kind not in taken)]
        if {*expected} - {*other.expectations} and {*expected} - {*one.expectations}:
            for name in (one.reference, other.reference):
                yield f'{" ".join(taken)} as {name}', replace(other, reference=name, expectations=expected)


@pytest.mark.parametrize('level', [VerifyLevel.FAST, VerifyLevel.FULL])
def test_no_graft_is_verified(written: list[Receipt], level: VerifyLevel) -> None:
    one, other = written
    assert outcome(one, level) == outcome(other, level) == 'verified'
    seen = {words: outcome(graft, level) for words, graft in grafts(one, other)}
    seen |= {f'{words}, version 1': outcome_of_text(as_version_1(graft), level) for words, graft in grafts(one, other)}
    assert len(seen) > 1 and not [words for words, verdict in seen.items() if verdict == 'verified']


def test_a_kept_receipt_of_another_scheme_proves_nothing(tmp_path: Path) -> None:
    """A layout without one of its layers, in which a whole dir:// of the same image stands, with that one's receipt."""
    archive = write_docker_archive(tmp_path / 'app', sample_config(sample_layers()), sample_layers(), 'team/app:v1')
    out, other, file = (tmp_path / name for name in ('out', 'other', 'receipt'))
    run_here('process', f'tar://{archive}', f'layout://{out}').assert_success()
    run_here('process', f'tar://{archive}', f'dir://{other}', '--receipt', file).assert_success()
    entry, = json.loads((out / 'index.json').read_bytes())['manifests']
    lost = max((out / 'blobs/sha256').iterdir(), key=lambda path: path.stat().st_size)
    lost.unlink()
    shutil.rmtree(out / '.occystrap')
    shutil.copytree(other, out, dirs_exist_ok=True)
    shutil.rmtree(out / '.occystrap/receipts')
    (out / 'entry.json').write_bytes(canonical(entry))
    forged = Expectation('config', 'entry.json', Digest.of(canonical(entry)), len(canonical(entry)))
    receipt, = read_receipts(str(file))
    (out / '.occystrap/receipts').mkdir()
    (out / '.occystrap/receipts/app.json').write_text(
        replace(receipt, expectations=[*receipt.expectations, forged]).to_json())
    done = run_here('verify', f'layout://{out}', '--full').assert_code(1)
    assert 'it is for dir://, and this is layout://' in done.err


@pytest.mark.parametrize('form', ['{}\n', '{}\n\n{}\n', '{}'])
def test_a_file_that_changes_between_two_looks_is_another_one(form: str, written: list[Receipt], tmp_path: Path,
                                                              ) -> None:
    """It was hashed, and is read again: whoever serves it, such as over a network, may give other bytes then."""
    texts = [each.to_json() for each in written]
    text = form.format(*texts) if form != '{}' else json.dumps(json.loads(texts[0]), indent=1)
    (tmp_path / 'file').write_text(text)
    assert read_receipts(str(tmp_path / 'file'), expected=Digest.of(text.encode()))
    with pytest.raises(InvalidReceipt, match='it is not the file that was written'):
        read_receipts(str(tmp_path / 'file'), expected=Digest.of(text.encode() + b' '))
