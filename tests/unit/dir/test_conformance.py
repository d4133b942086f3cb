from pathlib import Path

from occystrap_core import CheckResults, ImageOutput, Location, Receipt, Settings, VerifyLevel
from occystrap_core.testing.writer_conformance import WriterConformance
from occystrap_dir.directory.writer import DirOutput
from occystrap_dir.plugin import verify_output


class TestDir(WriterConformance):
    private = ('.occystrap',)

    def make_output(self, directory: Path, settings: Settings) -> ImageOutput:
        return DirOutput(Location('dir', str(directory / 'image'), {'unique_names': False}, {}), settings)

    def verify(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
        return verify_output(receipt, level, settings)


class TestDirOfSeveral(TestDir):
    settings = Settings(sync=True)

    def make_output(self, directory: Path, settings: Settings) -> ImageOutput:
        return DirOutput(Location('dir', str(directory / 'image'), {'unique_names': True}, {}), settings)
