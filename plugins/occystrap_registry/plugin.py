"""What this plugin declares; cheap to import."""
from collections.abc import Iterable
from typing import TYPE_CHECKING

from occystrap_core import BOOLEAN, CommandDeclaration, InputScheme, Many, Option, WriterScheme, choice, hookimpl

if TYPE_CHECKING:
    from occystrap_core import CheckResults, Receipt, Settings, VerifyLevel

_CONNECTION = [
    Option('insecure', BOOLEAN, False, 'allow http, and https without checking certificates, as docker means it; '
                                       'always so for this machine itself'),
    Option('username', help='who to log in as (default: OCCYSTRAP_USERNAME, then docker\'s config.json)'),
    Option('password', help='password or token (default: OCCYSTRAP_PASSWORD); ps shows it, so better not here',
           secret=True),
]


@hookimpl
def register_inputs() -> Iterable[InputScheme]:
    """Return registry:// as a source."""
    return [InputScheme('registry', 'occystrap_registry.input:RegistryInput', [
        Option('platform', help='what to take of an index, such as linux/arm64 (default: --platform)'), *_CONNECTION,
    ], 'an image in a registry: registry://host[:port]/repository[:tag][@digest]')]


@hookimpl
def register_writers() -> Iterable[WriterScheme]:
    """Return registry:// as a destination."""
    return [WriterScheme('registry', 'occystrap_registry.writer:RegistryOutput', [
        Option('compression', choice('gzip', 'gzip-fast', 'zstd'), 'gzip', 'for layers that have no blob yet'),
        *_CONNECTION,
    ], 'push to a registry, blobs that are there already left out',
        many=Many(False, reason='it names one tag'))]


@hookimpl
def register_commands() -> Iterable[CommandDeclaration]:
    """Return the demonstration."""
    return [CommandDeclaration('demo', 'occystrap_registry.demo:demo', 'See it work, on a sample image.')]


@hookimpl
def verify_output(receipt: 'Receipt', level: 'VerifyLevel', settings: 'Settings') -> 'CheckResults | None':
    """Hold a registry against a receipt."""
    if receipt.scheme != 'registry':
        return None
    from occystrap_registry.verifier import verify
    return verify(receipt, level, settings)
