"""The hooks: all that a plugin can add. This file is the contract; docs/plugins.md shows each at work."""
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from occystrap_core.api.schemes import CommandDeclaration, ExecutorKind, FilterKind, InputScheme, WriterScheme
    from occystrap_core.settings import Settings, VerifyLevel
    from occystrap_core.verification.receipt import Receipt
    from occystrap_core.verification.results import CheckResults

PROJECT = 'occystrap'
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_inputs() -> 'Iterable[InputScheme]':  # type: ignore[empty-body]
    """Return the schemes that the plugin reads images from. An exception marks the whole plugin as failed."""


@hookspec
def register_filters() -> 'Iterable[FilterKind]':  # type: ignore[empty-body]
    """Return the filters that the plugin provides. An exception marks the whole plugin as failed."""


@hookspec
def register_writers() -> 'Iterable[WriterScheme]':  # type: ignore[empty-body]
    """Return the schemes that the plugin writes images to. An exception marks the whole plugin as failed."""


@hookspec
def register_commands() -> 'Iterable[CommandDeclaration]':  # type: ignore[empty-body]
    """Return the commands that the plugin adds to the command line. An exception marks the whole plugin as failed."""


@hookspec
def register_executors() -> 'Iterable[ExecutorKind]':  # type: ignore[empty-body]
    """Return the executors that the plugin adds to `process --executor`. An exception marks the whole plugin as failed.
    """


@hookspec
def verify_output(receipt: 'Receipt', level: 'VerifyLevel', settings: 'Settings') -> 'CheckResults | None':
    """Read back what `receipt` says was written, and report an observation for each of its expectations.

    :param receipt: all that must be at the destination; `receipt.scheme` says which plugin's it is.
    :param level: FAST or FULL.
    :param settings: timeouts, threads, statistics of the run. Called once for each image, for several images at once,
        on threads that may block; reading and hashing go through `settings.in_parallel`, which keeps to --jobs threads.
    :returns: observations, never a verdict: the core judges. None for a receipt of another scheme. Every plugin is
        called: findings of all plugins count, observations only of the plugin that declares the scheme.
    :raises OccystrapError: why the check could not be made; the outcome is then `unverified`. Any other exception has
        the same outcome, and the plugin is named. Verification never writes.
    """
