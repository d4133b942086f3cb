"""What this plugin declares; cheap to import."""
from collections.abc import Iterable
from typing import TYPE_CHECKING

from occystrap_core import CommandDeclaration, InputScheme, Many, Option, OptionType, WriterScheme, hookimpl

if TYPE_CHECKING:
    from occystrap_core import CheckResults, Receipt, Settings, VerifyLevel

CONNECTION = [
    Option('insecure', OptionType.BOOLEAN, False,
           'allow http, and https without checking certificates, as docker means it; always so for this machine'),
    Option('http2', OptionType.BOOLEAN, False,
           'read by HTTP/2 from servers that offer it (default: HTTP/1.1, which is faster here); blobs are pushed by '
           'HTTP/1.1'),
    Option('username', help='who to log in as (default: --username, OCCYSTRAP_USERNAME, then what occystrap, docker '
                            'or podman login kept)'),
    Option('password', help='password or token (default: OCCYSTRAP_PASSWORD); ps shows it, so better not here',
           secret=True),
]
_IMAGES = [
    Option('platform', help='what to take of an index: linux/arm64, a list with commas, or all '
                            '(default: --platform)'),
    Option('referrers', OptionType.BOOLEAN, False, 'bring what hangs on the image: signatures, SBOMs, attestations'),
    Option('exclude', help='what to leave out: patterns with commas, for repositories, repository:tag or :tag'),
    *CONNECTION,
]


@hookimpl
def register_inputs() -> Iterable[InputScheme]:
    """Return registry:// and quay:// as sources."""
    return [
        InputScheme('registry', 'occystrap_registry.input:RegistryInput', _IMAGES,
                    'an image in a registry: registry://host[:port]/repository[:tag][@digest]; or all that match '
                    'patterns: registry://host/team/*:v1.*'),
        InputScheme('quay', 'occystrap_registry.quay.input:QuayInput', [
            Option('since', help='only tags made or moved since this date, such as 2024-01-31'),
            Option('token', help='OAuth token for the API of Quay (default: OCCYSTRAP_QUAY_TOKEN); ps shows it, so '
                                 'better not here', secret=True),
            Option('host', default='quay.io', help='which Quay'),
            *_IMAGES,
        ], 'images of an organisation on Quay: quay://organisation/repository:tag, repository and tag may be patterns'),
    ]


@hookimpl
def register_writers() -> Iterable[WriterScheme]:
    """Return registry:// as a destination."""
    return [WriterScheme('registry', 'occystrap_registry.writer:RegistryOutput', [
        Option('compression', OptionType.choice('gzip', 'gzip-fast', 'zstd'), 'gzip',
               'for layers that have no blob yet'),
        *CONNECTION,
    ], 'push to a registry, blobs that are there already left out',
        many=Many(False, reason='it names one tag'))]


@hookimpl
def register_commands() -> Iterable[CommandDeclaration]:
    """Return the demonstration, logging in and out, listing."""
    return [
        CommandDeclaration('demo', 'occystrap_registry.commands.demo:demo', 'See it work, on a sample image.'),
        CommandDeclaration('login', 'occystrap_registry.commands.login:login', 'Log in to a registry.'),
        CommandDeclaration('tags', 'occystrap_registry.commands.tags:tags',
                           'List tags, or repositories, of a registry.'),
        CommandDeclaration('logout', 'occystrap_registry.commands.login:logout', 'Forget a login.'),
    ]


@hookimpl
def verify_output(receipt: 'Receipt', level: 'VerifyLevel', settings: 'Settings') -> 'CheckResults | None':
    """Hold a registry against a receipt."""
    if receipt.scheme != 'registry':
        return None
    from occystrap_registry.verifier import verify
    return verify(receipt, level, settings)
