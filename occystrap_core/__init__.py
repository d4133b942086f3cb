"""The public API for plugin authors; everything else in this package may change at any time.

Names are imported when first used, so that declaring a plugin costs nothing.
"""
import sys

_run_as_module = sys.argv[:1] == ['-m'] and sys.orig_argv[-len(sys.argv)].endswith('occystrap_core')
if _run_as_module and not sys.flags.safe_path:  # with -m, Python leaves '-m' in sys.argv[0] until the module is found
    del sys.path[0]  # the current directory: a json.py there must not be imported

if _run_as_module or sys.argv[:1] and sys.argv[0].endswith('/occystrap'):
    import signal
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback during imports; cli/signals.py comes later

from typing import TYPE_CHECKING  # noqa: E402

from occystrap_core.lazy_exports import lazy_exports  # noqa: E402

if TYPE_CHECKING:
    from occystrap_core.api.hookspecs import hookimpl
    from occystrap_core.api.image_filter import EntryFilter, ImageFilter
    from occystrap_core.api.image_input import ImageInput
    from occystrap_core.api.image_list import ImageList, ListedImage
    from occystrap_core.api.image_output import ImageOutput
    from occystrap_core.api.options import Option, OptionType
    from occystrap_core.api.place import Place
    from occystrap_core.api.schemes import CommandDeclaration, FilterKind, InputScheme, Many, WriterScheme
    from occystrap_core.api.uri import Location
    from occystrap_core.api.written_image import (
        LayerForm, OutgoingLayer, WrittenImage, WrittenIndex, WrittenLayer, WrittenReferrer,
    )
    from occystrap_core.errors import (
        AccessDenied, Cancelled, ImageNotFound, InvalidImage, OccystrapError, OutputError, ServiceError,
        ServiceUnavailable, UsageError,
    )
    from occystrap_core.image.blob_store import BlobStore
    from occystrap_core.image.image import Image, ImageIndex
    from occystrap_core.image.index_reader import IndexReader
    from occystrap_core.image.layer import Layer
    from occystrap_core.settings import Settings, VerifyLevel
    from occystrap_core.verification.expectation import Evidence, Expectation
    from occystrap_core.verification.receipt import KeptReceipts, Receipt
    from occystrap_core.verification.results import READ, REPORTED, CheckResults
    from occystrap_core.version import __version__

_HOMES = {
    'api.hookspecs': 'hookimpl',
    'api.image_filter': 'EntryFilter ImageFilter',
    'api.image_input': 'ImageInput',
    'api.image_list': 'ImageList ListedImage',
    'api.image_output': 'ImageOutput',
    'api.options': 'Option OptionType',
    'api.place': 'Place',
    'api.schemes': 'CommandDeclaration FilterKind InputScheme Many WriterScheme',
    'api.uri': 'Location',
    'api.written_image': 'LayerForm OutgoingLayer WrittenReferrer WrittenImage WrittenIndex WrittenLayer',
    'errors': 'AccessDenied Cancelled ImageNotFound InvalidImage OccystrapError OutputError ServiceError '
              'ServiceUnavailable UsageError',
    'image.blob_store': 'BlobStore',
    'image.image': 'Image ImageIndex',
    'image.index_reader': 'IndexReader',
    'image.layer': 'Layer',
    'settings': 'Settings VerifyLevel',
    'verification.expectation': 'Evidence Expectation',
    'verification.receipt': 'KeptReceipts Receipt',
    'verification.results': 'CheckResults READ REPORTED',
    'version': '__version__',
}
__getattr__ = lazy_exports(__name__, __name__, _HOMES)

__all__ = [
    'AccessDenied', 'BlobStore', 'Cancelled', 'CheckResults', 'CommandDeclaration', 'EntryFilter', 'Evidence',
    'Expectation', 'FilterKind', 'Image', 'ImageFilter', 'ImageIndex', 'ImageInput', 'ImageList', 'ImageNotFound',
    'ImageOutput', 'IndexReader', 'InputScheme', 'InvalidImage', 'KeptReceipts', 'Layer', 'LayerForm', 'ListedImage',
    'Location', 'Many', 'OccystrapError', 'Option', 'OptionType', 'OutgoingLayer', 'OutputError', 'Place', 'READ',
    'REPORTED', 'Receipt', 'ServiceError', 'ServiceUnavailable', 'Settings', 'UsageError', 'VerifyLevel',
    'WriterScheme', 'WrittenImage', 'WrittenIndex', 'WrittenLayer', 'WrittenReferrer', '__version__', 'hookimpl',
]
