"""What the tests of dir:// share: writing sample images into folders, and looking at these."""
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


def output(folder: Path, unique: bool = False, settings: Settings = SETTINGS) -> DirOutput:
    """A writer into `folder`, several images or one."""
    given = {'unique_names': 'true'} if unique else {}
    return DirOutput(Location('dir', str(folder), {'unique_names': unique}, given), settings)


def write(folder: Path, image: Image | None = None, unique: bool = False, settings: Settings | None = None) -> Receipt:
    """Copies an image into `folder` the way the core does, with threads of its own, since a fork has none of others."""
    used = settings or Settings(sync=False)
    return copy(image, output(folder, unique, used), used)


def copy(image: Image | None, writer: DirOutput, settings: Settings) -> Receipt:
    """Copies an image, or the sample, into what `writer` writes, as a whole run does."""
    try:
        return ImageCopy(image or sample_image(), writer, settings, 'sample').run()
    finally:
        settings.shared.close()


def write_several(folder: Path, *names: str) -> list[Receipt]:
    """Copies images with these names, each with a layer of its own, into one folder."""
    return [write(folder, sample_image(name, variant=name), unique=True) for name in names]


def findings(receipt: Receipt, level: VerifyLevel = VerifyLevel.FAST) -> list[str]:
    """What the verifier says, a line each."""
    results = verify_output(receipt, level, Settings(sync=False))  # with threads of its own, as a fork has none
    assert isinstance(results, CheckResults)
    verdict = judge(receipt, level, results)
    return [f'{each.severity.value} {each}' for each in verdict.problems]


def source(folder: Path, image: str | None = None, tag: str | None = None) -> DirInput:
    """An input that reads from `folder`."""
    return DirInput(Location('dir', str(folder), {'image': image, 'tag': tag}, {}), SETTINGS)


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_bytes())


def content(folder: Path) -> dict[str, bytes]:
    """All files in a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def layer_files(folder: Path) -> list[Path]:
    """All files of layers in a folder."""
    return sorted(folder.glob('*/layer.tar'))
