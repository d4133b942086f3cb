"""Tests that a writer stopped at any moment leaves nothing of its image, and the previous image unchanged."""
import sys
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.errors import Cancelled, OccystrapError, ServiceUnavailable
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer
from occystrap_core.layers.outgoing_layer import Outgoing
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.settings import VerifyLevel
from occystrap_core.testing.altered_images import PATIENCE, Hanging, breaking_image, sample_image_with
from occystrap_core.testing.conformance import REFERENCE, DestinationConformance
from occystrap_core.testing.sample import sample_image
from occystrap_core.testing.watched_calls import FailingCall, observed

BEFORE = pytest.mark.parametrize('before', [False, True], ids=['first_image', 'earlier_image'])
SHARED = 2
"""How many layers the earlier image has in common with the one that fails."""
MOST_CALLS = 6
"""At most this many calls of finalize are made to fail, one in each run; the first and the last are among them."""


class FailedWrites(DestinationConformance):
    """What must be left after a failed run."""

    def earlier(self, directory: Path, before: bool) -> Mapping[str, object]:
        """Write another image first, if there should be one; return the content of the destination."""
        if before:
            self.write(directory, sample_image(variant='earlier'))
        return self.content(directory)

    def require_unchanged(self, directory: Path, before: Mapping[str, object], when: str) -> None:
        """Fail if something was left, is gone or has changed."""
        after = self.content(directory)
        assert (left := sorted({*after} - {*before})) == [], f'{when}: this is left: {left}'
        assert (gone := sorted({*before} - {*after})) == [], f'{when}: this is gone: {gone}'
        changed = [name for name in before if before[name] != after[name]]
        assert changed == [], f'{when}: these have changed: {changed}'

    def test_making_a_writer_and_asking_for_its_place_has_no_effect(self, tmp_path: Path) -> None:
        before = self.content(tmp_path)
        with self.run() as settings:
            self.output(tmp_path, settings).place(REFERENCE)
        self.require_unchanged(tmp_path, before, 'a writer that was only made')

    @BEFORE
    def test_abort_before_prepare_leaves_nothing(self, tmp_path: Path, before: bool) -> None:
        content = self.earlier(tmp_path, before)
        with self.run() as settings:
            self.output(tmp_path, settings).abort()
        self.require_unchanged(tmp_path, content, 'abort without prepare')

    @BEFORE
    def test_abort_after_prepare_leaves_nothing(self, tmp_path: Path, before: bool) -> None:
        content = self.earlier(tmp_path, before)
        with self.run() as settings:
            output = self.output(tmp_path, settings)
            output.prepare(sample_image())
            output.abort()
        self.require_unchanged(tmp_path, content, 'abort after prepare')

    @BEFORE
    @pytest.mark.parametrize('error', [None, ServiceUnavailable, Cancelled],
                             ids=['wrong_bytes', 'source_gone', 'interrupted'])
    def test_a_failure_in_any_layer_leaves_nothing(
            self, tmp_path: Path, before: bool, error: type[BaseException] | None) -> None:
        for number in range(SHARED if before else 0, 3):
            directory = tmp_path / str(number)
            directory.mkdir()
            content = self.earlier(directory, before)
            with pytest.raises((OccystrapError, Cancelled)):
                self.write(directory, breaking_image(number, error), jobs=1)
            self.require_unchanged(directory, content, f'layer {number} failed')

    @BEFORE
    def test_abort_leaves_nothing_while_a_layer_is_still_being_written(self, tmp_path: Path, before: bool) -> None:
        self.require_files()
        content = self.earlier(tmp_path, before)
        hangs, goes_on, failed = threading.Event(), threading.Event(), list[BaseException]()
        image = sample_image_with(0, partial(Hanging, hangs, goes_on))
        with self.run() as settings:
            output = self.output(tmp_path, settings)
            output.prepare(image)
            thread = threading.Thread(target=_write_layer, args=(output, image.layers[0], failed), daemon=True)
            thread.start()
            hangs.wait(PATIENCE)
            output.abort()
            goes_on.set()
            thread.join(PATIENCE)
        self.require_unchanged(tmp_path, content, 'abort while a thread was writing a layer')
        assert failed, 'write_layer succeeds after abort'

    def test_a_layer_with_wrong_bytes_is_refused_with_its_digest(self, tmp_path: Path) -> None:
        image = breaking_image(1, None)
        with pytest.raises(OccystrapError) as raised:
            self.write(tmp_path, image, jobs=1)
        assert image.diff_ids[1] in str(raised.value) or str(_blob_of(image, 1)) in str(raised.value), (
            f'the message does not name the layer: {raised.value}')

    @BEFORE
    def test_a_failing_call_in_finalize_leaves_the_old_image_or_the_new_one(self, tmp_path: Path, before: bool) -> None:
        count = self.calls_of_finalize(tmp_path / 'none')
        whole = {*self._shown(self.content(tmp_path / 'none'))}
        for number in some_calls(count):
            directory = tmp_path / str(number)
            directory.mkdir()
            content = self.earlier(directory, before)
            self.fail_in_finalize(directory, FailingCall(number))
            self._require_either(directory, content, whole, number)

    def calls_of_finalize(self, directory: Path, before: bool = False) -> int:
        """Return how many calls finalize makes that change files, if there is an earlier image or none."""
        directory.mkdir()
        self.earlier(directory, before)
        counting = FailingCall(sys.maxsize)
        self.fail_in_finalize(directory, counting)
        return counting.count

    def fail_in_finalize(self, directory: Path, failing: FailingCall) -> None:
        """Write with one call of finalize failing, or watched."""
        with self.run(jobs=1) as settings:
            output = self.output(directory, settings)
            _finalize_with(output, failing)
            try:
                receipt = ImageCopy(sample_image(), output, settings, 'sample').run()
            except OccystrapError as error:
                assert failing.failed, f'finalize fails by itself: {error}'
            else:
                self.require_verified(receipt, VerifyLevel.FAST)  # the writer worked around the failed call

    def _require_either(self, directory: Path, before: Mapping[str, object], whole: set[str], number: int) -> None:
        """Fail unless the old image is unchanged or the new one complete, with all names of `whole`, and nothing else
        is there."""
        after, old = self._shown(self.content(directory)), self._shown(before)
        left = sorted({*after} - whole - {*old})
        assert left == [], f'call {number} of finalize failed, and this is left: {left}'
        lacking, made = sorted(whole - {*after}), sorted(name for name in after if after[name] != old.get(name))
        assert after == old or not lacking, (
            f'call {number} of finalize failed, and half an image is left: {made} is there, {lacking} is not')
        self.require_verified(self.write(directory, sample_image()))

    def _shown(self, content: Mapping[str, object]) -> dict[str, object]:
        hidden = {*self.private, *self.secondary}
        return {name: each for name, each in content.items() if each is not None and not hidden & {*Path(name).parts}}

    def test_the_image_can_be_written_after_a_failure(self, tmp_path: Path) -> None:
        with pytest.raises(OccystrapError):
            self.write(tmp_path, breaking_image(2, None))
        self.require_verified(self.write(tmp_path, sample_image()))


def some_calls(count: int) -> list[int]:
    """Return the numbers of at most MOST_CALLS of so many calls."""
    return sorted({(count - 1) * each // (MOST_CALLS - 1) for each in range(MOST_CALLS)}) if count else []


def _blob_of(image: Image, number: int) -> str:
    descriptor = image.layers[number].descriptor
    return str(descriptor.digest) if descriptor else ''


def _finalize_with(output: ImageOutput, failing: FailingCall) -> None:
    finalize = output.finalize

    def failing_finalize(image: object) -> object:
        with observed(failing):
            return finalize(image)  # type: ignore[arg-type]
    output.finalize = failing_finalize  # type: ignore[method-assign, assignment]


def _write_layer(output: ImageOutput, layer: Layer, failed: list[BaseException]) -> None:
    try:
        output.write_layer(Outgoing(layer, output.layer_form, lambda count: None))
    except BaseException as error:
        failed.append(error)
