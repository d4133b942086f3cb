"""Writing or filtering the sample image in another process, with a clock that is years ahead and other hash seeds."""
import json
from dataclasses import fields
from pathlib import Path

from occystrap_core.settings import Settings
from occystrap_core.testing.other_process import output_of

_START = 'from occystrap_core.testing import other_clock; other_clock.set_ahead(); ' \
         'from occystrap_core.testing import later_process; later_process.answer()'


def write_later(plugin: str, uri: str, settings: Settings, directory: Path) -> None:
    """Write the sample image to a destination, as DestinationConformance does."""
    _later(plugin, uri, settings, directory, 'write')


def filtered_later(plugin: str, name: str, settings: Settings, directory: Path) -> list[str]:
    """Return the digests of config and layers of the sample image after a filter, as FilterConformance copies it."""
    return _later(plugin, name, settings, directory, 'filter')


def _later(plugin: str, name: str, settings: Settings, directory: Path, what: str) -> list[str]:
    simple = {each.name: value for each in fields(settings)
              if isinstance(value := getattr(settings, each.name), str | int | float)}
    asked = json.dumps([what, plugin, name, simple, str(directory)])
    found: list[str] = json.loads(output_of(_START, asked))['digests']
    return found
