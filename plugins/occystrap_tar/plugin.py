"""The plugin's declarations, cheap to import."""
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from occystrap_core import InputScheme, Many, Option, OptionType, WriterScheme, hookimpl

if TYPE_CHECKING:
    from occystrap_core import CheckResults, Location, Receipt, Settings, VerifyLevel


def _is_oci(location: 'Location') -> bool:
    return bool(location.options['format'] == 'oci')


def _is_file(path: str) -> bool:
    return os.path.exists(path) and not os.path.isdir(path)


@hookimpl
def register_inputs() -> Iterable[InputScheme]:
    """Return tar:// as a source."""
    return [InputScheme('tar', 'occystrap_tar.input:TarInput', [
        Option('image', help='which images of an archive with several: name:tag, digest, or a pattern such as '
               'team/*:v1* (default: all)'),
        Option('platform', help='what to take of an index: linux/arm64, a list with commas, or all (default: '
               '--platform)'),
        Option('format', OptionType.choice('docker', 'oci'), help='which of both to read, if the archive is both '
               '(default: docker)'),
        Option('referrers', OptionType.BOOLEAN, False,
               'include referrers of the image in an OCI archive: signatures, SBOMs, attestations'),
    ], 'a docker or OCI archive of one or many images, compressed or not, or a pipe of one; tar://- is stdin',
        recognizes=_is_file,
        many=True, completion='files')]


@hookimpl
def register_writers() -> Iterable[WriterScheme]:
    """Return tar:// as a destination."""
    return [WriterScheme('tar', 'occystrap_tar.writer:tar_output', [
        Option('format', OptionType.choice('docker', 'oci'), 'docker',
               'docker archive, or OCI archive of blobs as stored'),
        Option('tag', help='the name:tag in the archive (default: the source\'s)'),
        Option('compression', OptionType.choice('gzip', 'gzip-fast', 'zstd'), 'gzip',
               'with format=oci, for layers that must be compressed: uncompressed at the source, or changed by a '
               'filter'),
    ], 'a docker archive of one image, or an OCI archive of many; tar://- is stdout', suffix='.tar',
        whole_indexes=_is_oci, to_stdout=lambda location: location.path == '-', deltas=_is_oci,
        moved='occystrap_tar.archive.moved_receipt:moved', completion='files', is_whole=True,
        many=Many(True, reason='a docker archive, and one with ?tag=, holds one image; ?format=oci takes many',
                  unless=lambda location: not _is_oci(location) or bool(location.options['tag'])))]


@hookimpl
def verify_output(receipt: 'Receipt', level: 'VerifyLevel', settings: 'Settings') -> 'CheckResults | None':
    """Check an archive against a receipt; None for receipts of other schemes."""
    if receipt.scheme != 'tar':
        return None
    from occystrap_tar.verifier import verify
    return verify(receipt, level, settings)
