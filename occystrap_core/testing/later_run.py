"""Writing or filtering the sample image in another process, with a clock that is years ahead and other hash seeds."""
import json
import sys
from dataclasses import fields
from pathlib import Path
from pkgutil import resolve_name

from occystrap_core.settings import Settings
from occystrap_core.terminal import print_json
from occystrap_core.testing.other_process import output_of
from occystrap_core.testing.sample import sample_image

_START = 'from occystrap_core.testing import other_clock; other_clock.set_ahead(); ' \
         'from occystrap_core.testing import later_run; later_run.answer()'
_KITS = {'write': 'occystrap_core.testing.conformance:DestinationConformance',
         'filter': 'occystrap_core.testing.filter_conformance:FilterConformance'}
"""What the other process uses; by name, since the kits use this module."""


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


def answer() -> None:
    """Do, in the other process, what stdin asks for; print digests as JSON."""
    what, plugin, name, simple, directory = json.load(sys.stdin)
    kit = resolve_name(_KITS[what])()
    kit.plugin, kit.settings = plugin, Settings(**simple)
    if what == 'filter':
        kit.filter = name
        print_json({'digests': kit.digests(Path(directory))})
    else:
        kit.uri = name
        kit.write(Path(directory), sample_image())
        print_json({'digests': []})
