"""The public API for plugin authors; everything else in this package may change at any time.

Names are imported when first used, so that declaring a plugin costs nothing.
"""
import sys

_run_as_module = sys.argv[:1] == ['-m'] and sys.orig_argv[-len(sys.argv)].endswith('occystrap_core')
if _run_as_module and not sys.flags.safe_path:  # sys.argv[0] is -m only while Python looks for what -m names
    del sys.path[0]  # the current directory: a json.py there must not run

from typing import TYPE_CHECKING  # noqa: E402

from occystrap_core.lazy_exports import lazy_exports  # noqa: E402

if TYPE_CHECKING:
    from occystrap_core.api.hookspecs import hookimpl
    from occystrap_core.api.image_filter import EntryFilter, ImageFilter
    from occystrap_core.api.image_input import ImageInput
    from occystrap_core.api.image_list import ImageList, ListedImage
    from occystrap_core.api.image_output import (
        ImageOutput, LayerForm, OutgoingLayer, PlacedLayer, WrittenAttachment, WrittenImage, WrittenIndex,
        WrittenLayer,
    )
    from occystrap_core.api.options import (
        BOOLEAN, INTEGER, SECONDS, SIZE, STRING, Option, OptionType, Values, choice, nearest, read_options,
    )
    from occystrap_core.api.place import Place, canonical_host
    from occystrap_core.api.schemes import CommandDeclaration, FilterKind, InputScheme, Many, WriterScheme
    from occystrap_core.api.uri import Location, parse_uri
    from occystrap_core.errors import (
        AccessDenied, Cancelled, DigestMismatch, ImageError, ImageNotFound, InvalidImage, InvalidReceipt,
        OccystrapError, OutputError, PluginError, ServiceError, ServiceUnavailable, SizeMismatch, UnknownOption,
        UnknownScheme, UsageError, concerning, naming,
    )
    from occystrap_core.files.compression import detect, inflate, inflated_size
    from occystrap_core.files.device import DeviceFile, forget_cached, hash_file
    from occystrap_core.files.durability import WRITEBACK, start_writeback, sync_folder, writing
    from occystrap_core.files.readahead import ReadAhead
    from occystrap_core.files.stream import CHUNK, ByteStream, ChunkedSource, IteratorSource, Readable
    from occystrap_core.files.temporary_file import TemporaryFile
    from occystrap_core.image.artifact import Artifact
    from occystrap_core.image.blob_store import Contents
    from occystrap_core.image.image import Image, SequentialImage
    from occystrap_core.image.image_index import Attached, Child, Content, ImageIndex, below
    from occystrap_core.image.index_reader import ContentReader
    from occystrap_core.image.layer import Layer, StoredLayer, TarLayer
    from occystrap_core.image.origin import Origin, platforms_of
    from occystrap_core.image.selection import open_chosen, platforms_wanted
    from occystrap_core.patience import Patience
    from occystrap_core.settings import Cancellation, RequestStats, Settings, VerifyLevel
    from occystrap_core.tar.archive import TAR_BLOCK, TAR_END, file_header, padded_size
    from occystrap_core.tar.entry import (
        BLOCK_DEVICE, CHARACTER_DEVICE, FIFO, FILE, FOLDER, HARD_LINK, SYMLINK, TarEntry,
    )
    from occystrap_core.tar.globs import plain_path
    from occystrap_core.tar.reader import TarFileReader, TarReader
    from occystrap_core.tar.sparse import SparseContent
    from occystrap_core.tar.whiteouts import Whiteout, is_whiteout, whiteout_of
    from occystrap_core.terminal import print_json, print_lines, print_message, prompt
    from occystrap_core.terminal_text import printable, size_text
    from occystrap_core.values import value
    from occystrap_core.verification.receipt import Evidence, Expectation, KeptReceipts, Receipt
    from occystrap_core.verification.results import (
        READ, REPORTED, CheckResult, CheckResults, Outcome, Presence, Proof, Severity,
    )
    from occystrap_core.version import __version__

_HOMES = {
    'api.hookspecs': 'hookimpl',
    'api.image_filter': 'EntryFilter ImageFilter',
    'api.image_input': 'ImageInput',
    'api.image_list': 'ImageList ListedImage',
    'api.image_output': 'ImageOutput LayerForm OutgoingLayer PlacedLayer WrittenAttachment WrittenImage '
                        'WrittenIndex WrittenLayer',
    'api.options': 'BOOLEAN INTEGER Option OptionType SECONDS SIZE STRING Values choice nearest read_options',
    'api.place': 'Place canonical_host',
    'api.schemes': 'CommandDeclaration FilterKind InputScheme Many WriterScheme',
    'api.uri': 'Location parse_uri',
    'errors': 'AccessDenied Cancelled DigestMismatch ImageError ImageNotFound InvalidImage InvalidReceipt '
              'OccystrapError OutputError PluginError ServiceError ServiceUnavailable SizeMismatch '
              'UnknownOption UnknownScheme UsageError concerning naming',
    'files.compression': 'detect inflate inflated_size',
    'files.device': 'DeviceFile forget_cached hash_file',
    'files.durability': 'WRITEBACK start_writeback sync_folder writing',
    'files.readahead': 'ReadAhead',
    'files.stream': 'ByteStream CHUNK ChunkedSource IteratorSource Readable',
    'files.temporary_file': 'TemporaryFile',
    'image.artifact': 'Artifact',
    'image.blob_store': 'Contents',
    'image.image': 'Image SequentialImage',
    'image.image_index': 'Attached Child Content ImageIndex below',
    'image.index_reader': 'ContentReader',
    'image.layer': 'Layer StoredLayer TarLayer',
    'image.origin': 'Origin platforms_of',
    'image.selection': 'open_chosen platforms_wanted',
    'patience': 'Patience',
    'settings': 'Cancellation RequestStats Settings VerifyLevel',
    'tar.archive': 'TAR_BLOCK TAR_END file_header padded_size',
    'tar.entry': 'BLOCK_DEVICE CHARACTER_DEVICE FIFO FILE FOLDER HARD_LINK SYMLINK TarEntry',
    'tar.globs': 'plain_path',
    'tar.reader': 'TarFileReader TarReader',
    'tar.sparse': 'SparseContent',
    'tar.whiteouts': 'Whiteout is_whiteout whiteout_of',
    'terminal': 'print_json print_lines print_message prompt',
    'terminal_text': 'printable size_text',
    'values': 'value',
    'verification.receipt': 'Evidence Expectation KeptReceipts Receipt',
    'verification.results': 'CheckResult CheckResults Outcome Presence Proof READ REPORTED Severity',
    'version': '__version__',
}
__getattr__ = lazy_exports(__name__, _HOMES)

__all__ = [
    'AccessDenied', 'Artifact', 'Attached', 'BLOCK_DEVICE', 'BOOLEAN', 'ByteStream', 'CHARACTER_DEVICE', 'CHUNK',
    'Cancellation', 'Cancelled', 'CheckResult', 'CheckResults', 'Child', 'ChunkedSource', 'CommandDeclaration',
    'Content', 'ContentReader', 'Contents', 'DeviceFile', 'DigestMismatch', 'EntryFilter', 'Evidence', 'Expectation',
    'FIFO', 'FILE', 'FOLDER', 'FilterKind', 'HARD_LINK', 'INTEGER', 'Image', 'ImageError', 'ImageFilter', 'ImageIndex',
    'ImageInput', 'ImageList', 'ImageNotFound', 'ImageOutput', 'InputScheme', 'InvalidImage', 'InvalidReceipt',
    'IteratorSource', 'KeptReceipts', 'Layer', 'LayerForm', 'ListedImage', 'Location', 'Many', 'OccystrapError',
    'Option', 'OptionType', 'Origin', 'Outcome', 'OutgoingLayer', 'OutputError', 'Patience', 'Place', 'PlacedLayer',
    'PluginError', 'Presence', 'Proof', 'READ', 'REPORTED', 'ReadAhead', 'Readable', 'Receipt', 'RequestStats',
    'SECONDS', 'SIZE', 'STRING', 'SYMLINK', 'SequentialImage', 'ServiceError', 'ServiceUnavailable', 'Settings',
    'Severity', 'SizeMismatch', 'SparseContent', 'StoredLayer', 'TAR_BLOCK', 'TAR_END', 'TarEntry', 'TarFileReader',
    'TarLayer', 'TarReader', 'TemporaryFile', 'UnknownOption', 'UnknownScheme', 'UsageError', 'Values', 'VerifyLevel',
    'WRITEBACK', 'Whiteout', 'WriterScheme', 'WrittenAttachment', 'WrittenImage', 'WrittenIndex', 'WrittenLayer',
    '__version__', 'below', 'canonical_host', 'choice', 'concerning', 'detect', 'file_header',
    'forget_cached', 'hash_file', 'hookimpl', 'inflate', 'inflated_size', 'is_whiteout', 'naming', 'nearest',
    'open_chosen', 'padded_size', 'parse_uri', 'plain_path', 'platforms_of', 'platforms_wanted', 'print_json',
    'print_lines', 'print_message', 'printable', 'prompt', 'read_options', 'size_text', 'start_writeback',
    'sync_folder', 'value', 'whiteout_of', 'writing',
]
