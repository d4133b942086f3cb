"""Writers that do harm to what is not their own: the example plugin, changed in one place."""
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from occystrap_flat.writer import CONFIG, FlatOutput

from occystrap_core import Image, OutgoingLayer, WrittenLayer


class ReplacesWhatIsInTheWay(FlatOutput):
    def prepare(self, image: Image) -> None:
        if os.path.isdir(self._root):
            shutil.rmtree(self._root)
        super().prepare(image)


class RemovesWhatOthersWrite(FlatOutput):
    def prepare(self, image: Image) -> None:
        for partial in Path(self._root).glob('.*.partial'):
            shutil.rmtree(partial)
        super().prepare(image)


class TakesAnyConfigForItsOwn(FlatOutput):
    def _holds_image(self) -> bool:
        return os.path.exists(f'{self._root}/{CONFIG}')


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


class LeavesWhatKilledRunsLeft(FlatOutput):
    def _abandoned(self) -> list[str]:
        return []


class RemovesAllThatIsPartial(FlatOutput):
    def prepare(self, image: Image) -> None:
        for left in Path(self._root).glob('*.partial'):
            shutil.rmtree(left)
        super().prepare(image)


class RemovesWhatIsCalledAsItsOwn(FlatOutput):
    def prepare(self, image: Image) -> None:
        for left in Path(self._root).glob('.flat-*.partial'):
            shutil.rmtree(left)
        super().prepare(image)


class RemovesWhatLinksLeadTo(FlatOutput):
    def prepare(self, image: Image) -> None:
        for left in Path(self._root).glob('.*.partial'):
            shutil.rmtree(os.path.realpath(left))
        super().prepare(image)


class LeavesLayersOfKilledRuns(FlatOutput):
    def _abandoned(self) -> list[str]:
        return [name for name in super()._abandoned() if name.endswith('.partial')]


class RefusesTooLate(FlatOutput):
    def require_possible(self, content: object) -> None:
        pass

    def prepare(self, image: Image) -> None:
        super().require_possible(image)
        super().prepare(image)


class MakesItsDirectoryForItsUserAlone(FlatOutput):
    def prepare(self, image: Image) -> None:
        super().prepare(image)
        os.chmod(self._root, 0o700)


class ComesBackAfterAbort(FlatOutput):
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        with layer.open() as stream:
            content = b''.join(bytes(chunk) for chunk in _until_it_fails(stream.chunks()))
        os.makedirs(self._partial, exist_ok=True)
        Path(self._partial, stream.digest.hex if stream.ended else 'rest').write_bytes(content)
        return WrittenLayer(stream.digest.hex)


def _until_it_fails(chunks: Iterable[memoryview]) -> Iterator[memoryview]:
    with suppress(BaseException):
        yield from chunks
