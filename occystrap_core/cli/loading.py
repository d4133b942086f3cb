"""Plugins for commands: loaded once, failed ones warned of once."""
import click

from occystrap_core.plugins import Plugins, build_plugin_manager
from occystrap_core.terminal import print_message


def load_plugins(context: click.Context, warn: bool = True) -> Plugins:
    """Return the plugins of this invocation, with one warning for each that failed, if `warn`."""
    store = context.find_root().meta
    if 'plugins' not in store:
        store['plugins'] = build_plugin_manager()
    plugins = store['plugins']
    assert isinstance(plugins, Plugins)
    if warn and not store.get('warned'):
        store['warned'] = True
        for plugin in plugins.failed:
            print_message(f'warning: plugin {plugin} failed and is left out: {plugin.failure}')
    return plugins
