"""The inputs of a source outside of a run: a single one, or one for each entry of a list."""
from collections.abc import Iterator
from contextlib import ExitStack

from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.image_list import ImageList
from occystrap_core.api.uri import Location
from occystrap_core.errors import UsageError
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import open_source, source_location
from occystrap_core.settings import Settings


def opened_inputs(plugins: Plugins, settings: Settings, source: str, closed: ExitStack,
                  ) -> Iterator[tuple[ImageInput, Location, Settings]]:
    """Yield the input of a source, or one for each entry of a list, with its location and settings; `closed` closes it.

    Raises UsageError, PluginError.
    """
    location = source_location(plugins, source)
    opened = open_source(plugins, location, settings)
    if isinstance(opened, ImageInput):
        closed.callback(opened.close)
        yield opened, location, settings
        return
    for entry in opened.entries():
        chosen = settings.choosing(entry.platform) if entry.platform else settings
        listed = source_location(plugins, entry.source)
        inner = open_source(plugins, listed, chosen)
        if isinstance(inner, ImageList):
            raise UsageError(f'{entry.where}: a list cannot name another list')
        closed.callback(inner.close)
        yield inner, listed, chosen
