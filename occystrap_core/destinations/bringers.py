"""Bringers: the sources, destinations and lists from which images came, under names that are the same in every run.

Only what a source brought itself may be pruned when the source no longer has it; images of other sources stay.
"""
import os
from collections.abc import Collection, Sequence
from typing import NamedTuple

from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.place import Place
from occystrap_core.api.schemes import FILES, InputScheme, WriterScheme
from occystrap_core.api.selection_options import without_selection
from occystrap_core.api.uri import Location, without_login
from occystrap_core.oci.patterns import Kept
from occystrap_core.oci.reference import Reference
from occystrap_core.plugins.manager import Plugins
from occystrap_core.settings import Settings
from occystrap_core.verification.provenance import Bringer

_NEUTRAL = ('insecure', 'http2', 'username', 'password', 'token', 'cert_path', 'tls_verify', 'platform', 'referrers',
            'since')
"""Options that say how to reach a source, or what to take of an image. They may change from run to run, like those of
selection. All others, such as image= or a daemon's address, identify the source."""


class PrunedSource(NamedTuple):
    """A source with prune=true: images that it no longer has are to be removed from its destinations."""

    name: str
    """Its name in receipts (Bringer)."""
    destinations: Sequence[Location]
    """As written, with fields."""
    keep: Kept | None
    references: Sequence[Reference] = ()
    """The images that it has now."""
    is_list: bool = False
    images: ImageInput | None = None
    """The input, and its location as written; None for a list."""
    written: Location | None = None

    def keeping(self, *names: str) -> set[str]:
        """Return the patterns of keep= that match one of these names of an image."""
        return self.keep.matching(names) if self.keep else set()

    def keeps_nothing(self, matched: Collection[str]) -> list[str]:
        """Return a line for an empty keep=, or for each of its patterns that is not in `matched`, those that matched an
        image."""
        if self.keep and not self.keep.patterns:
            return ['keep= is empty, and keeps nothing']
        return [f'keep={each} matches no image here or at the source: write team/app:v1, HOST/team/app:v1 or patterns '
                'of these' for each in (self.keep.patterns if self.keep else ()) if each not in matched]


def source_name(plugins: Plugins, location: Location) -> str:
    """Return the name of a source, or of a list, without selection and secrets."""
    given = without_selection(location).given
    chosen = '&'.join(f'{each}={given[each]}' for each in sorted(given) if each not in _NEUTRAL)
    return _name(location, plugins.find(InputScheme, location.scheme).completion) + (f'?{chosen}' if chosen else '')


def destination_name(plugins: Plugins, location: Location) -> str:
    """Return the name of a destination as it is written, with its fields."""
    return _name(location, plugins.find(WriterScheme, location.scheme).completion)


def bringers(settings: Settings) -> Sequence[Bringer]:
    """Return the bringers to record for images copied with these settings; none outside of a run."""
    return (Bringer(*settings.bringer),) if settings.bringer else ()


def _name(location: Location, completion: str) -> str:
    """Return scheme and path: an absolute path for files, otherwise with the host in its canonical form."""
    if completion == FILES:
        path = location.path if location.path == '-' else os.path.realpath(location.path)
    else:
        host, slash, rest = without_login(location.path).partition('/')
        path = f'{Place.canonical_host(host)}/{rest}' if slash else host
    return f'{location.scheme}://{path}'
