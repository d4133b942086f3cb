"""What the process does that `later_run` starts."""
import json
import sys
from pathlib import Path

from occystrap_core.settings import Settings
from occystrap_core.terminal import print_json
from occystrap_core.testing.conformance import DestinationConformance
from occystrap_core.testing.filter_conformance import FilterConformance
from occystrap_core.testing.sample import sample_image


def answer() -> None:
    """Do what stdin asks for; print digests as JSON."""
    what, plugin, name, simple, directory = json.load(sys.stdin)
    act = _write if what == 'write' else _filter
    print_json({'digests': act(plugin, name, Settings(**simple), Path(directory))})


def _write(plugin: str, uri: str, settings: Settings, directory: Path) -> list[str]:
    kit = DestinationConformance()
    kit.plugin, kit.settings, kit.uri = plugin, settings, uri
    kit.write(directory, sample_image())
    return []


def _filter(plugin: str, name: str, settings: Settings, directory: Path) -> list[str]:
    kit = FilterConformance()
    kit.plugin, kit.settings, kit.filter = plugin, settings, name
    return kit.digests(directory)
