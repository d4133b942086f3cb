"""Writers with one flaw each: the example plugin, changed in one place. This plugin has the wrong verifiers, too."""
import json
import os
import shutil
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from occystrap_flat.writer import CONFIG, FlatOutput

from occystrap_core import (
    CheckResults, Image, Location, Option, OptionType, OutgoingLayer, Place, Receipt, Settings, VerifyLevel,
    WriterScheme, WrittenImage, WrittenLayer, hookimpl,
)
from occystrap_core.oci import Reference
from tests.unit.core.testing import careless_writers, wrong_neighbours
from tests.unit.core.testing.careless_verifiers import CARELESS
from tests.unit.core.testing.wrong_verifiers import VERIFIERS, right, written_here

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


class WritesTheYear(FlatOutput):
    def finalize(self, image: WrittenImage) -> Receipt:
        receipt = super().finalize(image)
        Path(self._root, 'written-in').write_text(str(self.year()))
        return receipt

    def year(self) -> int:
        return time.localtime().tm_year


class WritesTheYearOfToday(WritesTheYear):
    def year(self) -> int:
        return datetime.now().year


class WritesTheYearOfItsFile(WritesTheYear):
    def year(self) -> int:
        return time.gmtime(Path(self._root, CONFIG).stat().st_mtime).tm_year


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


class ExpectsWhatItDoesNotDeclare(FlatOutput):
    def finalize(self, image: WrittenImage) -> Receipt:
        receipt = super().finalize(image)
        config, *layers = receipt.expectations
        return replace(receipt, expectations=(config, config._replace(kind='note'), *layers))


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


WRITERS = [each for home in (globals(), vars(wrong_neighbours), vars(careless_writers)) for each in list(home.values())
           if isinstance(each, type) and issubclass(each, FlatOutput) and each is not FlatOutput]


class Remembered(FlatOutput):
    def finalize(self, image: WrittenImage) -> Receipt:
        written_here.add(self._root)
        return super().finalize(image)


@hookimpl
def register_writers() -> list[WriterScheme]:
    key = Option('key', OptionType.STRING, '', secret=True)
    password = Option('password', OptionType.STRING, '')
    return [WriterScheme('right', 'occystrap_flat.writer:FlatOutput', [key]),
            WriterScheme('tells-passwords', 'occystrap_flat.writer:FlatOutput', [password]),
            *(WriterScheme(each.__name__.lower(), f'{each.__module__}:{each.__name__}', [key]) for each in WRITERS),
            *(WriterScheme(name, f'{HOME}:Remembered') for name in (*VERIFIERS, *CARELESS))]


@hookimpl
def verify_output(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
    if receipt.scheme not in {each.name for each in register_writers()}:
        return None
    return {**VERIFIERS, **CARELESS}.get(receipt.scheme, right)(receipt, level)


class AnswersForOthers:
    """A plugin whose verifier takes every receipt for its own."""

    @hookimpl
    def register_writers(self) -> list[WriterScheme]:
        return [WriterScheme('right', 'occystrap_flat.writer:FlatOutput')]

    @hookimpl
    def verify_output(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
        return right(receipt, level)


answers_for_others = AnswersForOthers()
