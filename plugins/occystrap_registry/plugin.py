"""The declarations of this plugin; cheap to import."""
from collections.abc import Iterable
from typing import TYPE_CHECKING

from occystrap_core import (
    CommandDeclaration, InputScheme, InvalidImage, Many, Option, OptionType, WriterScheme, hookimpl,
)

if TYPE_CHECKING:
    from occystrap_core import CheckResults, Receipt, Settings, VerifyLevel

CONNECTION = [
    Option('insecure', OptionType.BOOLEAN, False,
           'allow http, and https without checking certificates; always allowed for this machine',
           decides=False),
    Option('http2', OptionType.BOOLEAN, False,
           'read by HTTP/2 from servers that offer it (default: HTTP/1.1, which is faster here); blobs are pushed by '
           'HTTP/1.1', decides=False),
    Option('username', help='user name (default: --username, OCCYSTRAP_USERNAME, then logins of occystrap, docker '
                            'or podman login)', decides=False),
    Option('password', help='password or token; visible in ps, so prefer OCCYSTRAP_PASSWORD (the default)',
           secret=True, decides=False),
]


def _parsed_digests(text: str) -> frozenset[str]:
    from occystrap_core.oci import Digest  # late: the import is not for every start
    try:
        return frozenset(map(Digest, text.split(',')))
    except InvalidImage:
        raise ValueError('expected digests, separated by commas') from None


_DIGESTS = OptionType('digest,…', _parsed_digests)
_COMPLETED = 'occystrap_registry.commands.name_completion:completed'
_IMAGES = [
    Option('platform', help='platform to copy from an index: linux/arm64, a comma-separated list, or all '
                            '(default: --platform)'),
    Option('referrers', OptionType.BOOLEAN, False,
           'copy the referrers of the image too: signatures, SBOMs, attestations'),
    *CONNECTION,
]


@hookimpl
def register_inputs() -> Iterable[InputScheme]:
    """Return registry:// and quay:// as sources."""
    return [
        InputScheme('registry', 'occystrap_registry.input:RegistryInput', _IMAGES,
                    'an image in a registry: registry://host[:port]/repository[:tag][@digest], or all that match a '
                    'pattern: registry://host/team/*:v1.*', many=True, completion=_COMPLETED),
        InputScheme('quay', 'occystrap_registry.quay.input:QuayInput', [
            Option('since', help='only tags created or moved since this date, such as 2024-01-31'),
            Option('token', help='OAuth token for the API of Quay; visible in ps, so prefer OCCYSTRAP_QUAY_TOKEN (the '
                                 'default)', secret=True),
            Option('host', default='quay.io', help='host of the Quay registry'),
            *_IMAGES,
        ], 'images of an organisation on Quay: quay://organisation/repository:tag, repository and tag may be patterns',
            instead='push to registry://quay.io/ORGANISATION/REPOSITORY:TAG', many=True),
    ]


@hookimpl
def register_writers() -> Iterable[WriterScheme]:
    """Return registry:// as a destination."""
    return [WriterScheme('registry', 'occystrap_registry.writer:RegistryOutput', [
        Option('compression', OptionType.choice('gzip', 'gzip-fast', 'zstd'), 'gzip',
               'for layers that must be compressed: uncompressed at the source, or changed by a filter'),
        Option('format', OptionType.choice('docker', 'oci'), None,
               'form of manifests: docker or oci (default: unchanged, or the other one if the registry refuses that '
               'and no digest is given)'),
        Option('untagged', OptionType.BOOLEAN, False,
               'push under the digest alone, which filters may change; the path has neither tag nor digest'),
        Option('resend', _DIGESTS, None,
               'blobs that were found damaged there: they are sent although the registry says that it has them, and '
               'verification reads them back'),
        *CONNECTION,
    ], 'push to a registry, except blobs that it has already',
        many=Many(False, reason='it names one tag'), whole_indexes=lambda location: True, by_digest=True,
        removes='occystrap_registry.distribution.removal:remove',
        moved='occystrap_registry.distribution.moved_receipt:moved', completion=_COMPLETED)]


@hookimpl
def register_commands() -> Iterable[CommandDeclaration]:
    """Return the commands demo, gc, login, logout, proxy, serve and tags."""
    return [
        CommandDeclaration('demo', 'occystrap_registry.commands.demo:demo', 'Demonstrate occystrap on a sample image.'),
        CommandDeclaration('gc', 'occystrap_registry.commands.gc:gc',
                           'Remove unused blobs from the storage of a registry.'),
        CommandDeclaration('login', 'occystrap_registry.commands.login:login', 'Log in to a registry.'),
        CommandDeclaration('proxy', 'occystrap_registry.commands.proxy:proxy',
                           'Filter and verify images between clients and a registry.'),
        CommandDeclaration('serve', 'occystrap_registry.commands.serve:serve',
                           'Run a registry for docker, podman, skopeo and occystrap.'),
        CommandDeclaration('tags', 'occystrap_registry.commands.tags:tags',
                           'List the tags or the repositories of a registry.'),
        CommandDeclaration('logout', 'occystrap_registry.commands.login:logout', 'Log out of a registry.'),
    ]


@hookimpl
def verify_output(receipt: 'Receipt', level: 'VerifyLevel', settings: 'Settings') -> 'CheckResults | None':
    """Verify the output of RegistryOutput."""
    if receipt.scheme != 'registry':
        return None
    from occystrap_registry.verifier import verify
    return verify(receipt, level, settings)
