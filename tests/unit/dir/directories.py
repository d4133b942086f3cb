"""What the tests of dir:// share: writing sample images into directories, and looking at these."""
import json
from pathlib import Path
from typing import Any

from occystrap_core import CheckResults, Image, Location, Receipt, Settings, VerifyLevel
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.judge import judge
from occystrap_dir.directory.input import DirInput
from occystrap_dir.directory.writer import DirOutput
from occystrap_dir.plugin import verify_output

SETTINGS = Settings(sync=False)


def output(directory: Path, unique: bool = False, settings: Settings = SETTINGS) -> DirOutput:
    """A writer into `directory`, several images or one."""
    given = {'unique_names': 'true'} if unique else {}
    return DirOutput(Location('dir', str(directory), {'unique_names': unique}, given), settings)


def write(directory: Path, image: Image | None = None, unique: bool = False,
          settings: Settings | None = None) -> Receipt:
    """Copies an image into `directory` as the core does, with threads of its own, since a fork has none of others."""
    used = settings or Settings(sync=False)
    return copy(image, output(directory, unique, used), used)


def copy(image: Image | None, writer: DirOutput, settings: Settings) -> Receipt:
    """Copies an image, or the sample, into what `writer` writes, as a whole run does."""
    try:
        return ImageCopy(image or sample_image(), writer, settings, 'sample').run()
    finally:
        settings.shared.close()


def write_several(directory: Path, *names: str) -> list[Receipt]:
    """Copies images with these names, each with a layer of its own, into one directory."""
    return [write(directory, sample_image(name, variant=name), unique=True) for name in names]


def findings(receipt: Receipt, level: VerifyLevel = VerifyLevel.FAST) -> list[str]:
    """What the verifier says, a line each."""
    results = verify_output(receipt, level, Settings(sync=False))  # with threads of its own, as a fork has none
    assert isinstance(results, CheckResults)
    verdict = judge(receipt, level, results)
    return [f'{each.severity.value} {each}' for each in verdict.problems]


def source(directory: Path, image: str | None = None, tag: str | None = None) -> DirInput:
    """An input that reads from `directory`."""
    return DirInput(Location('dir', str(directory), {'image': image, 'tag': tag}, {}), SETTINGS)


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_bytes())


def content(directory: Path) -> dict[str, bytes]:
    """All files in a directory, by name."""
    files = (path for path in sorted(directory.rglob('*')) if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def layer_files(directory: Path) -> list[Path]:
    """All files of layers in a directory."""
    return sorted(directory.glob('*/layer.tar'))
