"""Tars of layers, for plugins: reading and writing entries, sparse files, whiteouts, layers made of tars."""
from typing import TYPE_CHECKING

from occystrap_core.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from occystrap_core.image.layer import ReadObservers, StoredLayer, TarLayer
    from occystrap_core.image.sequential_image import ReportedImage, SequentialImage
    from occystrap_core.tar.archive import TAR_BLOCK, TAR_END, file_header, padded_size
    from occystrap_core.tar.entry import TarEntry
    from occystrap_core.tar.entry_headers import (
        BLOCK_DEVICE, CHARACTER_DEVICE, DIRECTORY, FIFO, FILE, HARD_LINK, SYMLINK,
    )
    from occystrap_core.tar.globs import plain_path
    from occystrap_core.tar.reader import TarFileReader, TarReader
    from occystrap_core.tar.sparse import SparseContent
    from occystrap_core.tar.whiteouts import Whiteout, is_whiteout, whiteout_of

_HOMES = {
    'image.layer': 'ReadObservers StoredLayer TarLayer',
    'image.sequential_image': 'ReportedImage SequentialImage',
    'tar.archive': 'TAR_BLOCK TAR_END file_header padded_size',
    'tar.entry': 'TarEntry',
    'tar.entry_headers': 'BLOCK_DEVICE CHARACTER_DEVICE FIFO FILE DIRECTORY HARD_LINK SYMLINK',
    'tar.globs': 'plain_path',
    'tar.reader': 'TarFileReader TarReader',
    'tar.sparse': 'SparseContent',
    'tar.whiteouts': 'Whiteout is_whiteout whiteout_of',
}
__getattr__ = lazy_exports('occystrap_core', __name__, _HOMES)

__all__ = [
    'BLOCK_DEVICE', 'CHARACTER_DEVICE', 'DIRECTORY', 'FIFO', 'FILE', 'HARD_LINK', 'SYMLINK', 'TAR_BLOCK', 'TAR_END',
    'ReadObservers', 'ReportedImage', 'SequentialImage', 'SparseContent', 'StoredLayer', 'TarEntry', 'TarFileReader',
    'TarLayer', 'TarReader', 'Whiteout', 'file_header', 'is_whiteout', 'padded_size', 'plain_path', 'whiteout_of',
]
