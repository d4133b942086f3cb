"""The example plugin of the documentation, imported from where it lies and driven the way the core drives a writer."""
import importlib.util
import io
import os
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from occystrap_core import CheckResults, Image, ImageOutput, Location, OutputError, Receipt, Settings, VerifyLevel
from occystrap_core.oci import ImageConfig, Reference
from occystrap_core.tar import TarLayer
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from occystrap_core.testing.writer_conformance import WriterConformance
from occystrap_core.verification.results import Outcome

EXAMPLE = Path(__file__).parents[3] / 'docs' / 'examples' / 'occystrap-flat'


def _import_example() -> ModuleType:
    specification = importlib.util.spec_from_file_location('occystrap_flat', EXAMPLE / 'occystrap_flat.py')
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


flat = _import_example()


class TestFlat(WriterConformance):
    def make_output(self, directory: Path, settings: Settings) -> ImageOutput:
        output = flat.FlatOutput(Location('flat', str(directory / 'image'), {}, {}), settings)
        assert isinstance(output, ImageOutput)
        return output

    def verify(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
        results = flat.verify_output(receipt, level, settings)
        assert isinstance(results, CheckResults)
        return results

    def test_the_directory_is_what_the_readme_shows(self, tmp_path: Path) -> None:
        self.write(tmp_path, sample_image())
        names = sorted(os.listdir(tmp_path / 'image'))
        shown = next(line for line in (EXAMPLE / 'README.md').read_text().splitlines() if line.startswith('    00-'))
        assert names == shown.split()
        assert [(tmp_path / 'image' / name).read_bytes() for name in names[:3]] == sample_layers()

    def test_another_image_takes_the_place_of_the_first(self, tmp_path: Path) -> None:
        self.write(tmp_path, sample_image())
        self.write(tmp_path, sample_image(variant='two'))
        assert os.listdir(tmp_path) == ['image'] and len(os.listdir(tmp_path / 'image')) == 4

    def test_many_layers_one_after_the_other_are_kept_apart(self, tmp_path: Path) -> None:
        tars = [sample_layers(str(number))[2] for number in range(8)]
        config = ImageConfig.parse(sample_config(tars))
        layers = [TarLayer(index, diff_id, partial(io.BytesIO, tar))
                  for index, (diff_id, tar) in enumerate(zip(config.diff_ids, tars, strict=True))]
        receipt = self.write(tmp_path, Image(Reference.parse('many:v1'), config, layers))
        assert self.outcome(receipt, VerifyLevel.FULL) is Outcome.VERIFIED

    def test_a_directory_with_other_things_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / 'image').mkdir()
        (tmp_path / 'image' / 'letter.txt').touch()
        with pytest.raises(OutputError, match='holds no flat image'):
            self.write(tmp_path, sample_image())
        assert os.listdir(tmp_path / 'image') == ['letter.txt']


def test_receipts_of_others_are_left_to_them() -> None:
    receipt = Receipt('tar', '/x', {}, 'a:b', 'c', sample_image().config.digest, ())
    assert flat.verify_output(receipt, VerifyLevel.FULL, Settings()) is None


def test_the_example_is_short() -> None:
    lines = [line for line in (EXAMPLE / 'occystrap_flat.py').read_text().splitlines() if line.strip()]
    assert len(lines) < 60
    assert f'{len(lines)} lines of code' in (EXAMPLE / 'README.md').read_text()


def test_the_entry_point_declares_the_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'occystrap_flat', flat)
    (scheme,) = flat.register_writers()
    module, _, name = scheme.factory.partition(':')
    assert (scheme.name, getattr(sys.modules[module], name)) == ('flat', flat.FlatOutput)
