"""The plugin's declarations, cheap to import; everything else is imported when it is used."""
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from occystrap_core import InputScheme, Many, Option, OptionType, WriterScheme, hookimpl

if TYPE_CHECKING:
    from occystrap_core import CheckResults, Location, Receipt, Settings, VerifyLevel

BOOLEAN, INTEGER, SIZE, STRING = OptionType.BOOLEAN, OptionType.INTEGER, OptionType.SIZE, OptionType.STRING


def _mode(text: str) -> int:
    if len(text) not in (3, 4) or not set(text) <= set('01234567') or not int(text, 8) & 0o700 == 0o700:
        raise ValueError('expected an octal mode such as 0700, 0711 or 0755')
    return int(text, 8)


_UNPACKING = (
    Option('mode', OptionType('octal', _mode), None, 'mode of the directory that keeps other users from unpacked '
                                                     'setuid programs (default: 0700)'),
    Option('max_unpacked', SIZE, 256 << 30, 'bytes that the image may unpack to, such as 512M or 20G'),
    Option('max_entries', INTEGER, 4_000_000, 'files, directories and links that the image may have'),
    Option('max_names', SIZE, 128 << 20, 'bytes of memory that the names in the image may take, such as 512M'),
    Option('rootless', BOOLEAN, False, 'keep owners in extended attributes, as umoci does, for users who are not root'),
)

_REBUILD = Option('rebuild_index', BOOLEAN, False, 'rebuild a damaged list of images from the kept receipts, and '
                                                   'report what is lost (as --rebuild-index)')


def _names_a_tag(location: 'Location') -> bool:
    """Return whether a layout:// location is for one image."""
    return bool(location.options['tag']) or ':' in location.path.rpartition('/')[2]


def _is_directory(path: str) -> bool:
    return not _is_layout(path) and any(os.path.isfile(f'{path}/{name}') for name in ('manifest.json', 'catalog.json'))


def _is_layout(path: str) -> bool:
    above, slash, last = path.rpartition('/')
    return any(os.path.isfile(f'{above}{slash}{name}/oci-layout') for name in (last, re.split('[:@]', last)[0]))


@hookimpl
def register_inputs() -> Iterable[InputScheme]:
    """Return the sources."""
    return [InputScheme(
        'dir', 'occystrap_dir.directory.input:DirInput',
        [Option('image', STRING, None, 'which images, by name, pattern or digest, such as team/*:v1* (default: all)'),
         Option('tag', STRING, None, 'which tag, of a directory that holds several'),
         Option('unique_names', BOOLEAN, False, 'read a directory that holds several images (it is recognized without '
                                                'this, too)')],
        'a directory in the layout of docker save', recognizes=_is_directory, many=True, completion='files'),
        InputScheme(
            'layout', 'occystrap_dir.layout.input:LayoutInput',
            [Option('image', STRING, None, 'which images, by name, pattern or digest, such as team/*:v1* (default: '
                                           'all)'),
             Option('platform', STRING, None, 'what to take of an index: linux/arm64, a list with commas, or all '
                                              '(default: --platform)'),
             Option('referrers', BOOLEAN, False, 'include referrers of the image: signatures, SBOMs, attestations')],
            'an OCI image layout in a directory: layout://PATH, layout://PATH:TAG, layout://PATH@DIGEST',
            recognizes=_is_layout, many=True, completion='files'),
    ]


@hookimpl
def register_writers() -> Iterable[WriterScheme]:
    """Return the destinations."""
    return [WriterScheme(
        'dir', 'occystrap_dir.directory.writer:DirOutput',
        [Option('unique_names', BOOLEAN, False, 'keep several images in the directory, listed in catalog.json'),
         Option('expand', BOOLEAN, False, 'unpack the image too, into a directory named like its manifest'),
         Option('checksums', BOOLEAN, False, 'keep a SHA256SUMS of all images in the directory, for sha256sum -c'),
         _REBUILD, *_UNPACKING],
        'a directory in the layout of docker save, layers uncompressed', many=Many(True, needs='unique_names'),
        kept_receipts='occystrap_dir.kept_receipts:kept_in_directory',
        moved='occystrap_dir.directory.image_check:moved', removes='occystrap_dir.directory.catalog_removal:remove',
        notes_bringers='occystrap_dir.directory.catalog_removal:note_bringers',
        expects=('manifest', 'config', 'catalog'),
        keeps=('manifest*', 'catalog.json', 'SHA256SUMS', '[0-9a-f]' * 64 + '*'), completion='files', is_whole=True),
        WriterScheme(
            'oci', 'occystrap_dir.bundle.writer:BundleOutput', _UNPACKING,
            'a bundle of the OCI runtime specification: a root file system, and a config.json for runc or crun',
            many=Many(False, reason='a bundle holds one image'),
            kept_receipts='occystrap_dir.kept_receipts:kept_in_bundle',
            expects=('runtime-config', 'files'), keeps='*', completion='files'),
        WriterScheme(
            'layout', 'occystrap_dir.layout.writer:LayoutOutput',
            [Option('tag', STRING, None, 'the name in index.json, the same as TAG in layout://PATH:TAG (default: the '
                                         'source\'s)', decides=False),
             Option('compression', OptionType.choice('gzip', 'gzip-fast', 'zstd'), 'gzip',
                    'for layers that must be compressed: uncompressed at the source, or changed by a filter'),
             _REBUILD],
            'an OCI image layout in a directory, which may hold many images, blobs as stored',
            many=Many(True, reason='it names one tag', unless=_names_a_tag),
            kept_receipts='occystrap_dir.kept_receipts:kept_in_layout',
            removes='occystrap_dir.layout.removed_images:remove',
            notes_bringers='occystrap_dir.layout.removed_images:note_bringers',
            moved='occystrap_dir.layout.moved_receipt:moved',
            expects=('layout', 'entry'), whole_indexes=lambda location: True, deltas=lambda location: True,
            keeps=('blobs', 'index.json', 'oci-layout'), completion='files', is_whole=True),
        WriterScheme(
            'mounts', 'occystrap_dir.mounts.writer:MountsOutput', (_REBUILD, *_UNPACKING),
            'a directory for each layer, for overlayfs, shared between images, and a script that mounts them',
            many=Many(True), kept_receipts='occystrap_dir.kept_receipts:kept_in_mounts',
            expects=('mount',), keeps='*', completion='files'),
    ]


@hookimpl
def verify_output(receipt: 'Receipt', level: 'VerifyLevel', settings: 'Settings') -> 'CheckResults | None':
    """Check what a writer of this plugin wrote; None for receipts of other schemes."""
    if receipt.scheme == 'dir':
        from occystrap_dir.directory.verifier import verify_dir
        return verify_dir(receipt, level, settings)
    if receipt.scheme == 'oci':
        from occystrap_dir.bundle.verifier import verify_bundle
        return verify_bundle(receipt, level, settings)
    if receipt.scheme == 'layout':
        from occystrap_dir.layout.verifier import verify_layout
        return verify_layout(receipt, level, settings)
    if receipt.scheme == 'mounts':
        from occystrap_dir.mounts.verifier import verify_mounts
        return verify_mounts(receipt, level, settings)
    return None
