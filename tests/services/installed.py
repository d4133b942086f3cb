"""The installed plugins, loaded once for all tests of a process: finding them takes longer than most tests."""
import os
from functools import cache

from occystrap_core.plugins.manager import Plugins, build_plugin_manager


def installed_plugins() -> Plugins:
    """Return what `build_plugin_manager()` returns, and for the same variables the same."""
    return _loaded(os.environ.get('OCCYSTRAP_DISABLE_PLUGINS'), os.environ.get('OCCYSTRAP_STRICT_PLUGINS'))


@cache
def _loaded(disabled: str | None, strict: str | None) -> Plugins:
    return build_plugin_manager()
