from pathlib import Path

from occystrap_core import CheckResults, ImageOutput, Location, Receipt, Settings, VerifyLevel
from occystrap_core.testing.writer_conformance import WriterConformance
from occystrap_tar.plugin import verify_output
from occystrap_tar.writer import tar_output


class TestDockerArchive(WriterConformance):
    form = 'docker'

    def make_output(self, directory: Path, settings: Settings) -> ImageOutput:
        options = {'format': self.form, 'tag': None, 'compression': 'gzip'}
        return tar_output(Location('tar', str(directory / 'image.tar'), options, {}), settings)

    def verify(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
        return verify_output(receipt, level, settings)


class TestOciArchive(TestDockerArchive):
    form = 'oci'
    settings = Settings(sync=True)
