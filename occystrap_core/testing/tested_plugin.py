"""The installed plugins, and one under test that need not be installed."""
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

import importlib_metadata

from occystrap_core.plugins.manager import GROUP, Plugins, build_plugin_manager


class _Distribution(NamedTuple):
    name: str
    version: str = '0'


class _ModulePlugin(NamedTuple):
    """The entry point of a plugin that is not installed."""

    name: str
    value: str
    dist: _Distribution

    def load(self) -> Any:
        module, _, attribute = self.value.partition(':')
        found = import_module(module)
        return getattr(found, attribute) if attribute else found


@lru_cache
def plugins_with(plugin: str) -> Plugins:
    """Return the installed plugins and the given one; fails the test if that cannot be loaded."""
    installed = [each for each in importlib_metadata.entry_points(group=GROUP) if each.value != plugin]
    name = plugin.rpartition('.')[2].replace(':', '-')
    tested = [_ModulePlugin(name, plugin, _Distribution(name))] if plugin else []
    plugins = build_plugin_manager([*installed, *tested], [])
    for each in plugins.failed:
        assert plugin and each.module != plugin, f'plugin {each} cannot be loaded: {each.failure}'
    return plugins
