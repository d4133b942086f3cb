from pathlib import Path

from occystrap_core import CheckResults, ImageOutput, Receipt, Settings, VerifyLevel
from occystrap_core.testing.writer_conformance import WriterConformance
from occystrap_dir.plugin import verify_output
from tests.unit.dir.layout.layouts import output


class TestLayout(WriterConformance):
    path = 'image'
    private = ('.occystrap',)

    def make_output(self, directory: Path, settings: Settings) -> ImageOutput:
        return output(directory / self.path, settings=settings)

    def verify(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
        return verify_output(receipt, level, settings)


class TestLayoutWithTag(TestLayout):
    path = 'image:stable'
    settings = Settings(sync=True)
