"""The declarations of this plugin; cheap to import: boto3 is imported when a bucket is first used."""
from collections.abc import Iterable
from typing import TYPE_CHECKING

from occystrap_core import CommandDeclaration, InputScheme, Many, Option, OptionType, WriterScheme, hookimpl
from occystrap_s3.options import CONNECTION

if TYPE_CHECKING:
    from occystrap_core import CheckResults, Location, Receipt, Settings, VerifyLevel


def _names_an_image(location: 'Location') -> bool:
    """Return whether an s3:// location is for one image."""
    return bool(location.options['tag']) or '//' in location.path or ':' in location.path.rpartition('/')[2]


@hookimpl
def register_inputs() -> Iterable[InputScheme]:
    """Return s3:// as a source."""
    return [InputScheme('s3', 'occystrap_s3.input:BucketInput', [
        Option('image', help='which images, by name, pattern or digest, such as team/*:v1* (default: all)'),
        Option('platform', help='what to take of an index: linux/arm64, a list with commas, or all '
                                '(default: --platform)'),
        Option('referrers', OptionType.BOOLEAN, False,
               'include referrers of the image: signatures, SBOMs, attestations'),
        *CONNECTION,
    ], 'an OCI image layout in S3-compatible storage: s3://bucket/prefix, s3://bucket/prefix/name:tag, '
       's3://bucket/prefix//team/name:tag', many=True)]


@hookimpl
def register_writers() -> Iterable[WriterScheme]:
    """Return s3:// as a destination."""
    return [WriterScheme('s3', 'occystrap_s3.writer:BucketOutput', [
        Option('tag', help='the name of the image, the same as after the last slash of the path (default: the '
                           'source\'s)',
               decides=False),
        Option('compression', OptionType.choice('gzip', 'gzip-fast', 'zstd'), 'gzip',
               'for layers that must be compressed: uncompressed at the source, or changed by a filter'),
        Option('multipart', OptionType.SIZE, 5 << 30, 'blobs of more bytes are sent in parts', decides=False),
        *CONNECTION,
    ], 'an OCI image layout in S3-compatible storage, which may hold many images, blobs as stored',
        many=Many(True, reason='it names one image', unless=_names_an_image),
        kept_receipts='occystrap_s3.kept_receipts:kept_in_bucket', removes='occystrap_s3.layout.removed_records:remove',
        notes_bringers='occystrap_s3.layout.removed_records:note_bringers',
        moved='occystrap_s3.layout.moved_receipt:moved', expects=('entry',), whole_indexes=lambda location: True,
        servers=tuple(each.name for each in CONNECTION))]


@hookimpl
def register_commands() -> Iterable[CommandDeclaration]:
    """Return the command seal."""
    return [CommandDeclaration('seal', 'occystrap_s3.commands.seal:seal',
                               'List the images of a bucket in an index.json, for other programs.')]


@hookimpl
def verify_output(receipt: 'Receipt', level: 'VerifyLevel', settings: 'Settings') -> 'CheckResults | None':
    """Verify the output of BucketOutput."""
    if receipt.scheme != 's3':
        return None
    from occystrap_s3.verifier import verify
    return verify(receipt, level, settings)
