"""Tests for authors of a writer that writes files: subclass WriterConformance, fill in two methods, run pytest.

    class TestFlat(WriterConformance):
        def make_output(self, directory, settings):
            return FlatOutput(Location('flat', str(directory / 'image'), {}, {}), settings)

        def verify(self, receipt, level, settings):
            return verify_output(receipt, level, settings)
"""
import io
from collections.abc import Collection
from pathlib import Path

import pytest

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.errors import OccystrapError
from occystrap_core.image.image import Image
from occystrap_core.image.layer import StoredLayer
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.settings import Settings, VerifyLevel
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.judge import judge
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import CheckResults, Outcome


class WriterConformance:
    """The requirements for every writer of files and its verifier; `directory` is empty, and everything is written
    below it."""

    settings = Settings(sync=False)
    private: Collection[str] = ()
    """Names of directories for the writer's own use, in which damage need not be found."""

    def make_output(self, directory: Path, settings: Settings) -> ImageOutput:
        """Return a new writer whose destination is in `directory`, the same one each time."""
        raise NotImplementedError

    def verify(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
        """Return what the plugin's verify_output returns."""
        raise NotImplementedError

    def images(self, directory: Path) -> list[Path]:
        """Return the files whose damage must be found: all except those in `private`."""
        return [path for path in sorted(directory.rglob('*'))
                if path.is_file() and not {*self.private} & {*path.relative_to(directory).parts}]

    def write(self, directory: Path, image: Image) -> Receipt:
        """Write an image as the core does, reading its layers in parallel."""
        return ImageCopy(image, self.make_output(directory, self.settings), self.settings, 'sample').run()

    def outcome(self, receipt: Receipt, level: VerifyLevel = VerifyLevel.FAST) -> Outcome:
        """Return the outcome of verification."""
        results = self.verify(receipt, level, self.settings)
        assert results is not None, 'verify_output says that its own receipt has another scheme'
        return judge(receipt, level, results).outcome

    @pytest.mark.parametrize('level', [VerifyLevel.FAST, VerifyLevel.FULL])
    @pytest.mark.parametrize('stored', [True, False])
    def test_what_was_written_verifies(self, tmp_path: Path, stored: bool, level: VerifyLevel) -> None:
        image = sample_image(stored=stored)
        receipt = Receipt.from_json(self.write(tmp_path, image).to_json())
        assert self.outcome(receipt, level) is Outcome.VERIFIED
        assert receipt.image_id == image.config.digest and tuple(receipt.diff_ids) == image.diff_ids

    def test_writing_again_leaves_the_same_files(self, tmp_path: Path) -> None:
        self.write(tmp_path, sample_image())
        before = _content(tmp_path)
        assert self.outcome(self.write(tmp_path, sample_image()), VerifyLevel.FULL) is Outcome.VERIFIED
        assert _content(tmp_path) == before

    def test_a_failed_image_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(OccystrapError):
            self.write(tmp_path, _breaking(sample_image()))
        assert _content(tmp_path) == {}

    def test_a_failed_image_leaves_the_one_before_it_as_it_was(self, tmp_path: Path) -> None:
        receipt = self.write(tmp_path, sample_image())
        before = _content(tmp_path)
        with pytest.raises(OccystrapError):
            self.write(tmp_path, _breaking(sample_image(variant='another')))
        assert _content(tmp_path) == before and self.outcome(receipt, VerifyLevel.FULL) is Outcome.VERIFIED

    def test_a_removed_or_cut_file_is_found_fast(self, tmp_path: Path) -> None:
        receipt = self.write(tmp_path, sample_image())
        for path in self.images(tmp_path):
            content = path.read_bytes()
            path.write_bytes(content[:len(content) // 2])
            assert self.outcome(receipt) is Outcome.FAILED, f'{path} was cut and still verifies'
            path.unlink()
            assert self.outcome(receipt) is Outcome.FAILED, f'{path} was removed and it still verifies'
            path.write_bytes(content)
        assert self.outcome(receipt) is Outcome.VERIFIED

    def test_a_flipped_bit_is_found_by_full_verification(self, tmp_path: Path) -> None:
        receipt = self.write(tmp_path, sample_image())
        for path in self.images(tmp_path):
            content = bytearray(path.read_bytes())
            for place in {0, len(content) // 2, len(content) - 1}:
                content[place] ^= 1
                path.write_bytes(content)
                assert self.outcome(receipt, VerifyLevel.FULL) is Outcome.FAILED, f'byte {place} of {path} was flipped'
                content[place] ^= 1
            path.write_bytes(content)
        assert self.outcome(receipt, VerifyLevel.FULL) is Outcome.VERIFIED


def _breaking(image: Image) -> Image:
    """Return the image with a last layer whose blob does not match its descriptor."""
    last = image.layers[-1]
    assert last.descriptor and last.diff_id
    broken = StoredLayer(last.index, last.descriptor, last.diff_id, lambda: io.BytesIO(b'something else'))
    return Image(image.reference, image.config, [*image.layers[:-1], broken], image.manifest)


def _content(directory: Path) -> dict[str, bytes]:
    files = (path for path in sorted(directory.rglob('*')) if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}
