"""The conformance kit must find writers and verifiers that do not do their work."""
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core import (
    READ, CheckResults, Expectation, ImageOutput, Location, OutgoingLayer, Receipt, Settings, VerifyLevel, WrittenImage,
    WrittenLayer,
)
from occystrap_core.testing import writer_conformance


class Careless(ImageOutput):
    """Writes straight to the final place, and never cleans up."""

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        name = f'{layer.index}.tar'
        with layer.open() as stream, Path(self.location.path, name).open('wb') as file:
            file.writelines(stream.chunks())
        return WrittenLayer(name)

    def finalize(self, image: WrittenImage) -> Receipt:
        Path(self.location.path, 'config.json').write_bytes(image.config.raw)
        config = Expectation('config', 'config.json', image.config.digest, len(image.config.raw))
        return image.receipt(self.location, [config])


class Kit(writer_conformance.WriterConformance):
    def make_output(self, directory: Path, settings: Settings) -> ImageOutput:
        return Careless(Location('x', str(directory), {}, {}), settings)

    def verify(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
        results = CheckResults()
        for each in receipt.expectations:
            path = Path(receipt.path, each.locator)
            if path.exists():
                results.found(each, size=path.stat().st_size, digest=each.digest, evidence=READ)
            else:
                results.missing(each)
        return results


@pytest.mark.parametrize('test', [
    lambda kit, path: kit.test_what_was_written_verifies(path, True, VerifyLevel.FULL),
    Kit.test_writing_again_leaves_the_same_files,
    Kit.test_a_removed_or_cut_file_is_found_fast])
def test_correct_writers_pass(tmp_path: Path, test: Callable[[Kit, Path], None]) -> None:
    test(Kit(), tmp_path)


@pytest.mark.parametrize('test', [
    Kit.test_a_failed_image_leaves_nothing,
    Kit.test_a_failed_image_leaves_the_one_before_it_as_it_was,
    Kit.test_a_flipped_bit_is_found_by_full_verification])
def test_faulty_writers_fail(tmp_path: Path, test: Callable[[Kit, Path], None]) -> None:
    with pytest.raises(AssertionError):
        test(Kit(), tmp_path)


def test_damage_is_looked_for_but_in_what_the_writer_keeps_for_itself(tmp_path: Path) -> None:
    class Keeper(Kit):
        private = ('.keeper',)
    for name in ('image/.keeper/receipt', 'image/.occystrap/layer', 'image/layer'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'')
    assert [path.name for path in Kit().images(tmp_path)] == ['receipt', 'layer', 'layer']
    assert Keeper().images(tmp_path) == [tmp_path / 'image/.occystrap/layer', tmp_path / 'image/layer']
