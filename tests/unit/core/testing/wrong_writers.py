"""Writers and verifiers with one flaw each: the example plugin, changed in one place."""
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from occystrap_flat import verifier
from occystrap_flat.writer import CONFIG, FlatOutput

from occystrap_core import (
    READ, CheckResults, Image, Location, Option, OptionType, OutgoingLayer, Place, Receipt,
    Settings, VerifyLevel, WriterScheme, WrittenImage, WrittenLayer, hookimpl,
)
from occystrap_core.oci import Reference
from occystrap_core.verification.results import Presence

HOME = 'tests.unit.core.testing.wrong_writers'


class LosesALayer(FlatOutput):
    def finalize(self, image: WrittenImage) -> Receipt:
        receipt = super().finalize(image)
        os.unlink(f'{self._root}/{receipt.expectations[-1].locator}')
        return receipt


class WritesBeforeSuccess(FlatOutput):
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        written = super().write_layer(layer)
        shutil.copy(f'{self._partial}/{written.locator}', f'{self._root}/{layer.index}.tar')
        return written


class LeavesLitter(FlatOutput):
    def abort(self) -> None:
        pass


class RemovesTheOldImageFirst(FlatOutput):
    def prepare(self, image: Image) -> None:
        super().prepare(image)
        if os.path.exists(f'{self._root}/{CONFIG}'):
            os.unlink(f'{self._root}/{CONFIG}')


class PutsASecretIntoTheReceipt(FlatOutput):
    def finalize(self, image: WrittenImage) -> Receipt:
        receipt = super().finalize(image)
        return Receipt(**{**receipt.__dict__, 'options': {'key': str(self.location.options['key'])}})


class IgnoresSync(FlatOutput):
    def _flush(self, file: Any) -> None:
        pass


class AlwaysSyncs(FlatOutput):
    def _flush(self, file: Any) -> None:
        os.fsync(file.fileno())


class FlushesAfterRenaming(FlatOutput):
    def _flush(self, file: Any) -> None:
        pass

    def _flush_names(self) -> None:
        super()._flush_names()
        for name in os.listdir(self._root) if self.settings.sync else ():
            if os.path.isfile(f'{self._root}/{name}'):
                with open(f'{self._root}/{name}', 'rb') as file:
                    os.fsync(file.fileno())


class LeavesNamesUnflushed(FlatOutput):
    def _flush_names(self) -> None:
        pass


class WritesTheTime(FlatOutput):
    def finalize(self, image: WrittenImage) -> Receipt:
        receipt = super().finalize(image)
        Path(self._root, 'written-at').write_text(str(time.time_ns()))
        return receipt


class HoldsALayer(FlatOutput):
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        with layer.open() as stream:
            content = b''.join(bytes(chunk) for chunk in stream.chunks())
        Path(self._partial, stream.digest.hex).write_bytes(content)
        return WrittenLayer(stream.digest.hex)


class KeepsARelativePath(FlatOutput):
    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        self.location = location


class NamesPlacesAsTheyAreWritten(FlatOutput):
    def place(self, reference: Reference) -> Place:
        return Place('', self.location.path)


class HasOnePlaceForAll(FlatOutput):
    def place(self, reference: Reference) -> Place:
        return Place('', 'here')


class HasAPlaceForEachName(FlatOutput):
    def place(self, reference: Reference) -> Place:
        return Place.at(self._root, str(reference))


class WritesWhenItIsMade(FlatOutput):
    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        os.makedirs(self._root, exist_ok=True)


class NamesLayersByIndex(FlatOutput):
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        written = super().write_layer(layer)
        os.rename(f'{self._partial}/{written.locator}', f'{self._partial}/{layer.index}')
        return WrittenLayer(str(layer.index))


class WritesAnotherConfig(FlatOutput):
    def finalize(self, image: WrittenImage) -> Receipt:
        receipt = super().finalize(image)
        Path(self._root, CONFIG).write_text(json.dumps(json.loads(image.config.raw), indent=1))
        return receipt


class AbortsOnlyWhatWasPrepared(FlatOutput):
    def abort(self) -> None:
        os.listdir(self._partial)
        super().abort()


class SwallowsErrors(FlatOutput):
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        try:
            return super().write_layer(layer)
        except Exception:
            return WrittenLayer(sorted(os.listdir(self._partial))[0], layer.diff_id, 1)


class ReplacesWhatIsInTheWay(FlatOutput):
    def prepare(self, image: Image) -> None:
        if os.path.isdir(self._root):
            shutil.rmtree(self._root)
        super().prepare(image)


class ReplacesAFile(FlatOutput):
    def prepare(self, image: Image) -> None:
        if os.path.isfile(self._root) and not os.path.islink(self._root):
            os.unlink(self._root)
        super().prepare(image)


class ReplacesALink(FlatOutput):
    def prepare(self, image: Image) -> None:
        if os.path.islink(self._root):
            os.unlink(self._root)
        super().prepare(image)


class LeavesLayersWhenItFailsLate(FlatOutput):
    def abort(self) -> None:
        self._new = []
        super().abort()


class LosesOddNames(FlatOutput):
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        written = super().write_layer(layer)
        path = Path(self._partial, written.locator)
        path.write_bytes(path.read_bytes().replace(b'caf\xe9', b'caf?'))
        return written


class RunsOutOfWordsOnFiles(FlatOutput):
    def prepare(self, image: Image) -> None:
        assert not os.path.isfile(os.path.dirname(self._root))
        super().prepare(image)


WRITERS = [each for each in list(globals().values())
           if isinstance(each, type) and issubclass(each, FlatOutput) and each is not FlatOutput]


def _always_yes(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    results = CheckResults()
    for each in receipt.expectations:
        results.found(each, size=each.size, digest=each.digest, evidence=READ)
    return results


def _sizes_only(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    results = CheckResults()
    for each in receipt.expectations:
        if os.path.isfile(path := os.path.join(receipt.path, each.locator)):
            results.found(each, size=os.path.getsize(path), digest=each.digest, evidence=READ)
        else:
            results.missing(each)
    return results


def _silent_of_layers(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    results = _right(receipt, level)
    results.observations = [each for each in results.observations if each.expectation.kind != 'layer']
    return results


def _crashes(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    os.listdir(receipt.path)
    for each in receipt.expectations:
        os.stat(os.path.join(receipt.path, each.locator))
    return _right(receipt, level)


_written_here: set[str] = set()


def _remembers(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    return _right(receipt, level) if receipt.path in _written_here else CheckResults()


def _changes_things(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    Path(receipt.path, 'verified').touch()
    return _right(receipt, level)


def _overlooks_more(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    """Takes the size from the receipt if the file has at least so many bytes."""
    found = _right(receipt, VerifyLevel.FAST)
    results = CheckResults()
    for each in found.observations:
        if each.presence is not Presence.FOUND:
            results.missing(each.expectation)
            continue
        content = Path(receipt.path, each.expectation.locator).read_bytes()[:each.expectation.size]
        results.found(each.expectation, size=len(content), digest=type(receipt.image_id).of(content), evidence=READ)
    return results


def _right(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    return verifier.verify(receipt, level, Settings())


VERIFIERS: dict[str, Callable[[Receipt, VerifyLevel], CheckResults]] = {
    'always-yes': _always_yes, 'sizes-only': _sizes_only, 'silent-of-layers': _silent_of_layers, 'crashes': _crashes,
    'remembers': _remembers, 'changes-things': _changes_things, 'overlooks-more': _overlooks_more}


class Remembered(FlatOutput):
    def finalize(self, image: WrittenImage) -> Receipt:
        _written_here.add(self._root)
        return super().finalize(image)


@hookimpl
def register_writers() -> list[WriterScheme]:
    key = Option('key', OptionType.STRING, '', secret=True)
    password = Option('password', OptionType.STRING, '')
    return [WriterScheme('right', 'occystrap_flat.writer:FlatOutput', [key]),
            WriterScheme('tells-passwords', 'occystrap_flat.writer:FlatOutput', [password]),
            *(WriterScheme(each.__name__.lower(), f'{HOME}:{each.__name__}', [key]) for each in WRITERS),
            *(WriterScheme(name, f'{HOME}:Remembered') for name in VERIFIERS)]


@hookimpl
def verify_output(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
    if receipt.scheme not in {each.name for each in register_writers()}:
        return None
    return VERIFIERS.get(receipt.scheme, _right)(receipt, level)


class AnswersForOthers:
    """A plugin whose verifier takes every receipt for its own."""

    @hookimpl
    def register_writers(self) -> list[WriterScheme]:
        return [WriterScheme('right', 'occystrap_flat.writer:FlatOutput')]

    @hookimpl
    def verify_output(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
        return _right(receipt, level)


answers_for_others = AnswersForOthers()
