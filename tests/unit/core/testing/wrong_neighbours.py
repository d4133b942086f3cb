"""Writers that do harm to what is not their own: the example plugin, changed in one place."""
import os
import shutil
from pathlib import Path

from occystrap_flat.writer import CONFIG, FlatOutput

from occystrap_core import Image


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
    def _remove_abandoned(self) -> None:
        pass


class RemovesAllThatIsPartial(FlatOutput):
    def _remove_abandoned(self) -> None:
        for left in Path(self._root).glob('*.partial'):
            shutil.rmtree(left)
        super()._remove_abandoned()


class RemovesWhatLinksLeadTo(FlatOutput):
    def _remove_abandoned(self) -> None:
        for left in Path(self._root).glob('.*.partial'):
            shutil.rmtree(os.path.realpath(left))
        super()._remove_abandoned()


class LeavesLayersOfKilledRuns(FlatOutput):
    def _remove_abandoned(self) -> None:
        for left in Path(self._root).glob('.*.partial'):
            shutil.rmtree(left)
