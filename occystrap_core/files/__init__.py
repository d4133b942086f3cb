"""Files and streams, for plugins: durable writes, temporary files, locks, device reads, compression, terminal."""
from typing import TYPE_CHECKING

from occystrap_core.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from occystrap_core.errors import (
        DigestMismatch, ImageError, SizeMismatch, TooManyRequests, prefix_errors, set_error_rule,
    )
    from occystrap_core.files.compression import (
        GZIP_END, MAGIC_SIZE, detect_compression, inflate, inflated_size, inflated_stream,
    )
    from occystrap_core.files.device import DeviceFile, forget_cached, hash_file
    from occystrap_core.files.durability import (
        WRITEBACK, database_advice, output_errors, start_writeback, sync_directory, write_all,
    )
    from occystrap_core.files.held_bytes import HeldBytes
    from occystrap_core.files.home import home_path
    from occystrap_core.files.kept_beside import LEAST_BESIDE, KeptBeside, written_through
    from occystrap_core.files.locks import (
        is_current, lock_if_current, remove_abandoned_lock, remove_if_abandoned, replacement_lock,
    )
    from occystrap_core.files.partial_file import PartialFile
    from occystrap_core.files.readahead import ReadAhead
    from occystrap_core.files.stream import CHUNK, ByteStream, ChunkedSource, IteratorSource, Readable
    from occystrap_core.files.temporary_file import TemporaryFile
    from occystrap_core.oci.documents import ParsedContents
    from occystrap_core.patience import Patience
    from occystrap_core.terminal import print_json, print_lines, print_message, prompt
    from occystrap_core.terminal_text import printable, size_text

_HOMES = {
    'errors': 'DigestMismatch ImageError SizeMismatch TooManyRequests set_error_rule prefix_errors',
    'files.compression': 'GZIP_END MAGIC_SIZE detect_compression inflate inflated_size inflated_stream',
    'files.device': 'DeviceFile forget_cached hash_file',
    'files.durability': 'WRITEBACK database_advice start_writeback sync_directory write_all output_errors',
    'files.held_bytes': 'HeldBytes',
    'files.home': 'home_path',
    'files.kept_beside': 'LEAST_BESIDE KeptBeside written_through',
    'files.locks': 'is_current lock_if_current remove_abandoned_lock remove_if_abandoned replacement_lock',
    'files.partial_file': 'PartialFile',
    'files.readahead': 'ReadAhead',
    'files.stream': 'ByteStream CHUNK ChunkedSource IteratorSource Readable',
    'files.temporary_file': 'TemporaryFile',
    'oci.documents': 'ParsedContents',
    'patience': 'Patience',
    'terminal': 'print_json print_lines print_message prompt',
    'terminal_text': 'printable size_text',
}
__getattr__ = lazy_exports('occystrap_core', __name__, _HOMES)

__all__ = [
    'ByteStream', 'CHUNK', 'ChunkedSource', 'DeviceFile', 'DigestMismatch', 'GZIP_END', 'HeldBytes', 'ImageError',
    'IteratorSource', 'KeptBeside', 'LEAST_BESIDE', 'MAGIC_SIZE', 'ParsedContents', 'PartialFile', 'Patience',
    'ReadAhead', 'Readable', 'SizeMismatch', 'TemporaryFile', 'TooManyRequests', 'WRITEBACK', 'database_advice',
    'detect_compression', 'forget_cached', 'hash_file', 'home_path', 'inflate', 'inflated_size', 'inflated_stream',
    'is_current', 'lock_if_current', 'output_errors', 'prefix_errors', 'print_json', 'print_lines', 'print_message',
    'printable', 'prompt', 'remove_abandoned_lock', 'remove_if_abandoned', 'replacement_lock', 'set_error_rule',
    'size_text', 'start_writeback', 'sync_directory', 'write_all', 'written_through',
]
