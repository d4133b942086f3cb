"""Attributing an unexpected exception to the plugin whose code raised it, or to the core."""
from collections.abc import Iterator

from occystrap_core.plugins.manager import Plugin, Plugins

_CORE = 'occystrap_core'
_NO_THREAD = "can't start new thread"
"""What Python says when the system refuses another thread (threading.Thread.start)."""
SCARCE = ('out of memory, or of threads: give lower -j and -J, or permit more (ulimit -v and -u, the limits of the '
          'container)')
"""The messages for lack of memory or threads."""


def unexpected(error: BaseException, plugins: Plugins | None, *advice: str) -> str:
    """Return the message for an exception that is not an OccystrapError: one line, with the name of the plugin that
    raised it.

    Running out of memory or threads is not blamed on a plugin.
    """
    if ran_out(error):
        return SCARCE
    plugin = culprit(error, plugins) if plugins else None
    subject = f'plugin {plugin} failed' if plugin else 'internal error'
    advice = ('report it to its author', *advice) if plugin else advice
    return f'{subject}: {type(error).__name__}: {error}{"; " if advice else ""}{", ".join(advice)}'


def ran_out(error: BaseException) -> bool:
    """Return whether an exception means that memory or permitted threads have run out."""
    return isinstance(error, MemoryError) or isinstance(error, RuntimeError) and str(error) == _NO_THREAD


def culprit(error: BaseException, plugins: Plugins) -> Plugin | None:
    """Return the plugin whose code was the last to run on the raising thread; None if that was the core's."""
    for module in reversed(list(_modules(error))):
        if _is_in(module, _CORE):
            return None
        for plugin in plugins.loaded:
            if any(_is_in(module, place) for place in _places(plugin)):
                return plugin
    return None


def _modules(error: BaseException) -> Iterator[str]:
    """Yield the modules that an exception passed through, the raising one last."""
    step = error.__traceback__
    while step:
        yield str(step.tb_frame.f_globals.get('__name__', ''))
        step = step.tb_next


def _places(plugin: Plugin) -> Iterator[str]:
    """Yield the modules of a plugin's code: the package of its entry point, and those of its declared classes."""
    module = plugin.module.partition(':')[0]
    yield module.rpartition('.')[0] or module
    for declaration in plugin.declarations:
        target = getattr(declaration, 'factory', '') or getattr(declaration, 'target', '')
        yield target.partition(':')[0]


def _is_in(module: str, place: str) -> bool:
    return module == place or module.startswith(f'{place}.')
