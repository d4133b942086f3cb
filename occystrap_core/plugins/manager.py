"""Finding and loading plugins, and calling their hooks. A plugin that fails is set aside with the reason."""
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import pluggy

from occystrap_core.api import hookspecs
from occystrap_core.api.schemes import CommandDeclaration, ExecutorKind, FilterKind, InputScheme, WriterScheme
from occystrap_core.errors import PluginError, UnknownScheme

GROUP = 'occystrap'
OFFICIAL: Mapping[type, Mapping[str, str]] = {
    InputScheme: {'dir': 'occystrap-dir', 's3': 'occystrap-s3', 'layout': 'occystrap-dir', 'docker': 'occystrap-docker',
                  'dockerpush': 'occystrap-docker', 'quay': 'occystrap-registry', 'registry': 'occystrap-registry',
                  'tar': 'occystrap-tar'},
    WriterScheme: {'dir': 'occystrap-dir', 's3': 'occystrap-s3', 'layout': 'occystrap-dir', 'mounts': 'occystrap-dir',
                   'oci': 'occystrap-dir', 'docker': 'occystrap-docker', 'registry': 'occystrap-registry',
                   'tar': 'occystrap-tar'},
    ExecutorKind: {'dask': 'occystrap-dask'}}
"""The distribution of each official scheme, as source and as destination, and of each executor, for messages about
distributions that are not installed."""

_KINDS: Mapping[str, type] = {'register_inputs': InputScheme, 'register_filters': FilterKind,
                              'register_writers': WriterScheme, 'register_commands': CommandDeclaration,
                              'register_executors': ExecutorKind}
D = TypeVar('D', bound=InputScheme | FilterKind | WriterScheme | CommandDeclaration | ExecutorKind)


class EntryPointLike(Protocol):
    """The interface of an entry point; those of importlib_metadata have it."""

    @property
    def name(self) -> str: ...

    @property
    def value(self) -> str: ...

    @property
    def dist(self) -> Any: ...

    def load(self) -> Any: ...


class Plugin(NamedTuple):
    """One entry point of one distribution; `failure` is why it cannot be used, empty if it can."""

    entry_point: EntryPointLike
    key: str
    failure: str = ''
    declarations: Sequence[object] = ()

    @property
    def name(self) -> str:
        """The entry point's name."""
        return self.entry_point.name

    @property
    def module(self) -> str:
        """The module it refers to."""
        return self.entry_point.value

    @property
    def distribution(self) -> str:
        """The distribution's name; read from its metadata on first use, which takes milliseconds."""
        return str(self.entry_point.dist.name)

    @property
    def version(self) -> str:
        """The distribution's version."""
        return str(self.entry_point.dist.version)

    def __str__(self) -> str:
        return f'{self.distribution} ({self.module})'


class _Manager(pluggy.PluginManager):
    """Seeks hooks among what can be one: pluggy takes long to see that classes and constants of a module are none."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """Return the options of a hook; None for what is none."""
        if isinstance(plugin, ModuleType):
            found = vars(plugin).get(name)
            if isinstance(found, type) or not callable(found):
                return None
        return super().parse_hookimpl_opts(plugin, name)


class Plugins:
    """All plugins of a run: their declarations and hooks."""

    def __init__(self, manager: pluggy.PluginManager, plugins: Sequence[Plugin]) -> None:
        self._manager = manager
        self.all = plugins
        self._known: dict[tuple[type[Any], str], Any] = {}

    @property
    def loaded(self) -> list[Plugin]:
        """The plugins that can be used."""
        return [plugin for plugin in self.all if not plugin.failure]

    @property
    def failed(self) -> list[Plugin]:
        """The plugins that cannot be used."""
        return [plugin for plugin in self.all if plugin.failure]

    def declared(self, kind: type[D]) -> Iterator[tuple[Plugin, D]]:
        """Yield every declaration of `kind`, with its plugin."""
        for plugin in self.loaded:
            for declaration in plugin.declarations:
                if isinstance(declaration, kind):
                    yield plugin, declaration

    def find(self, kind: type[D], name: str) -> D:
        """Return the declaration of `kind` with this name or alias.

        Raises UnknownScheme, saying which plugin has it, and PluginError if two plugins claim the name.
        """
        if found := self._known.get((kind, name)):
            return cast(D, found)
        claims: list[tuple[Plugin, D]] = [
            (plugin, each) for plugin, each in self.declared(kind)
            if name in (each.name, *getattr(each, 'aliases', ()))]
        if len(claims) > 1:
            raise PluginError(f'{name!r} is claimed by {" and ".join(str(plugin) for plugin, _ in claims)}: uninstall '
                              'one of them, or add it to OCCYSTRAP_DISABLE_PLUGINS')
        if not claims:
            raise self._unknown(kind, name)
        self._known[kind, name] = claims[0][1]
        return claims[0][1]

    def hooks(self, name: str) -> Iterator[tuple[Plugin, Any]]:
        """Yield, plugin by plugin, a callable for the hook `name`, which takes keyword arguments."""
        by_key = {plugin.key: plugin for plugin in self.loaded}
        for implementation in reversed(getattr(self._manager.hook, name).get_hookimpls()):
            yield by_key[implementation.plugin_name], _calling(implementation)

    def _unknown(self, kind: type[D], name: str) -> UnknownScheme | PluginError:
        what = {InputScheme: 'source', WriterScheme: 'destination', FilterKind: 'filter',
                ExecutorKind: 'executor'}.get(kind, 'command')
        official = OFFICIAL.get(kind, {}).get(name)
        for plugin in self.failed:
            if name == plugin.name or official == plugin.distribution:
                return PluginError(f'{name!r}: its plugin {plugin} failed: {plugin.failure}')
        if kind is WriterScheme:
            for _, each in self.declared(InputScheme):
                if each.instead and name in (each.name, *each.aliases):
                    return UnknownScheme(f'{name}:// is a source only: {each.instead}')
        if kind is InputScheme and any(name in (each.name, *each.aliases) for _, each in self.declared(WriterScheme)):
            return UnknownScheme(f'{name}:// is a destination only: give the source that it was made from, or '
                                 'layout://PATH for an image layout')
        known = sorted({declaration.name for _, declaration in self.declared(kind)})
        shown = f'{name}://' if what in ('source', 'destination') else name
        if official:
            return UnknownScheme(f'no installed plugin provides {shown} as {what}: install the wheel of {official}')
        from occystrap_core.errors import nearest
        return UnknownScheme(f'no installed plugin provides {shown} as {what}{nearest(name, known)}'
                             if known else f'no installed plugin provides any {what}: install the wheels of '
                             'plugins, such as occystrap-dir')


def build_plugin_manager(entry_points: Iterable[EntryPointLike] | None = None, disabled: Iterable[str] | None = None,
                         ) -> Plugins:
    """Return all plugins, loaded or failed; `entry_points` default to those of the installed distributions.

    `disabled` names entry points or distributions to leave out (default: OCCYSTRAP_DISABLE_PLUGINS, with commas).
    Raises PluginError for the first failed plugin if OCCYSTRAP_STRICT_PLUGINS=1.
    """
    if entry_points is None:
        import importlib_metadata
        entry_points = importlib_metadata.entry_points(group=GROUP)
    if disabled is None:
        disabled = os.environ.get('OCCYSTRAP_DISABLE_PLUGINS', '').split(',')
    blocked = {name.strip() for name in disabled} - {''}
    manager = _Manager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    found = sorted(entry_points, key=lambda entry_point: (entry_point.name, entry_point.value))
    enabled = [each for each in found if not blocked or not blocked & {each.name, each.dist.name}]
    plugins = Plugins(manager, [_load(manager, Plugin(entry_point, f'{number}:{entry_point.name}'))
                                for number, entry_point in enumerate(enabled)])
    if plugins.failed and os.environ.get('OCCYSTRAP_STRICT_PLUGINS') == '1':
        raise PluginError(f'plugin {plugins.failed[0]} failed: {plugins.failed[0].failure}')
    return plugins


def _load(manager: pluggy.PluginManager, plugin: Plugin) -> Plugin:
    try:
        module = plugin.entry_point.load()
        manager.register(module, plugin.key)
        manager.check_pending()
        declarations = [declaration for hook in _KINDS for declaration in _declarations(manager, module, hook)]
    except (Exception, SystemExit) as error:  # whatever a foreign module raises must not affect other plugins
        if manager.has_plugin(plugin.key):
            manager.unregister(name=plugin.key)
        reason = ' '.join(str(error).split())[:400]
        return plugin._replace(failure=f'{type(error).__name__}: {reason}')
    return plugin._replace(declarations=declarations)


def _declarations(manager: pluggy.PluginManager, module: object, hook: str) -> Iterator[object]:
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        if implementation.plugin is module:
            declared = implementation.function()
            if not isinstance(declared, Iterable):
                raise PluginError(f'{hook} returned {declared!r}, expected an iterable of {_KINDS[hook].__name__}')
            for declaration in declared:
                if not isinstance(declaration, _KINDS[hook]):
                    raise PluginError(f'{hook} returned {declaration!r}, expected a {_KINDS[hook].__name__}')
                yield declaration


def _calling(implementation: pluggy.HookImpl) -> Any:
    def call(**arguments: object) -> object:
        return implementation.function(**{name: arguments[name] for name in implementation.argnames})
    return call
