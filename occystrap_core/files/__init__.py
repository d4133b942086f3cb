"""Files and streams, for plugins: durable writes, temporary files, device reads, compression, standard output."""
from typing import TYPE_CHECKING

from occystrap_core.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from occystrap_core.errors import DigestMismatch, ImageError, SizeMismatch, concerning, naming
    from occystrap_core.files.compression import detect, inflate, inflated_size
    from occystrap_core.files.device import DeviceFile, forget_cached, hash_file
    from occystrap_core.files.durability import WRITEBACK, start_writeback, sync_directory, write_all, writing
    from occystrap_core.files.readahead import ReadAhead
    from occystrap_core.files.stream import CHUNK, ByteStream, ChunkedSource, IteratorSource, Readable
    from occystrap_core.files.temporary_file import TemporaryFile
    from occystrap_core.patience import Patience
    from occystrap_core.terminal import print_json, print_lines, print_message, prompt
    from occystrap_core.terminal_text import printable, size_text

_HOMES = {
    'errors': 'DigestMismatch ImageError SizeMismatch concerning naming',
    'files.compression': 'detect inflate inflated_size',
    'files.device': 'DeviceFile forget_cached hash_file',
    'files.durability': 'WRITEBACK start_writeback sync_directory write_all writing',
    'files.readahead': 'ReadAhead',
    'files.stream': 'ByteStream CHUNK ChunkedSource IteratorSource Readable',
    'files.temporary_file': 'TemporaryFile',
    'patience': 'Patience',
    'terminal': 'print_json print_lines print_message prompt',
    'terminal_text': 'printable size_text',
}
__getattr__ = lazy_exports('occystrap_core', __name__, _HOMES)

__all__ = [
    'ByteStream', 'CHUNK', 'ChunkedSource', 'DeviceFile', 'DigestMismatch', 'ImageError', 'IteratorSource', 'Patience',
    'ReadAhead', 'Readable', 'SizeMismatch', 'TemporaryFile', 'WRITEBACK', 'concerning', 'detect', 'forget_cached',
    'hash_file', 'inflate', 'inflated_size', 'naming', 'print_json', 'print_lines', 'print_message', 'printable',
    'prompt', 'size_text', 'start_writeback', 'sync_directory', 'write_all', 'writing',
]
