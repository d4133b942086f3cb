"""Lists and plans as the core opens them."""
from collections.abc import Sequence
from pathlib import Path

from occystrap_core import ImageList, ListedImage, Settings
from occystrap_core.plugins.resolver import open_source, source_location
from tests.services.installed import installed_plugins


def opened_list(uri: str) -> ImageList:
    """Return a list:// or plan://, opened by way of the installed plugins."""
    plugins = installed_plugins()
    opened = open_source(plugins, source_location(plugins, uri), Settings())
    assert isinstance(opened, ImageList)
    return opened


def entries_of(uri: str) -> Sequence[ListedImage]:
    """Return what a list:// or plan:// names."""
    return list(opened_list(uri).entries())


def entries_in(directory: Path, name: str, text: str | bytes) -> Sequence[ListedImage]:
    """Write a file and return what it names; its suffix says whether it is a list or a plan."""
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return entries_of(f'{"list" if name.endswith(".txt") else "plan"}://{path}')
