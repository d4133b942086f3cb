"""What the plugin declares: cheap to import, everything else is imported when it is used."""
from collections.abc import Iterable
from typing import TYPE_CHECKING

from occystrap_core import BOOLEAN, STRING, InputScheme, Many, Option, WriterScheme, hookimpl

if TYPE_CHECKING:
    from occystrap_core import CheckResults, Receipt, Settings, VerifyLevel


@hookimpl
def register_inputs() -> Iterable[InputScheme]:
    """Return dir://."""
    return [InputScheme(
        'dir', 'occystrap_dir.input:DirInput',
        [Option('image', STRING, None, 'which image, by name, of a folder that holds several'),
         Option('tag', STRING, None, 'which tag, of a folder that holds several')],
        'a folder in the layout of docker save')]


@hookimpl
def register_writers() -> Iterable[WriterScheme]:
    """Return dir://."""
    return [WriterScheme(
        'dir', 'occystrap_dir.writer:DirOutput',
        [Option('unique_names', BOOLEAN, False, 'keep several images in the folder, listed in catalog.json')],
        'a folder in the layout of docker save, layers uncompressed', many=Many(True, needs='unique_names'))]


@hookimpl
def verify_output(receipt: 'Receipt', level: 'VerifyLevel', settings: 'Settings') -> 'CheckResults | None':
    """Read back what a writer of this plugin wrote."""
    if receipt.scheme != 'dir':
        return None
    from occystrap_dir.verifier import verify_dir
    return verify_dir(receipt, level, settings)
