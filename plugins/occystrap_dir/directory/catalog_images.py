"""The images in a directory, by their names in its catalog and manifests."""
import os
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from occystrap_core import InvalidImage, UsageError
from occystrap_core.oci import Reference
from occystrap_dir.directory.catalog import CATALOG, read_catalog
from occystrap_dir.directory.manifests import SINGLE, SavedImage, manifest_names, read_manifest
from occystrap_dir.workspace.names import directory_name

HEX = re.compile('[0-9a-f]{128}|[0-9a-f]{64}')
"""The digits of a digest in the name of a config."""


class Choice(NamedTuple):
    """One image of a directory: its name and tag, empty if it has none, and its position in a manifest."""

    name: str
    tag: str
    manifest: str
    position: int = 0

    def __str__(self) -> str:
        if not self.name:
            return f'an image without a name in {self.manifest}'
        return f'{self.name}@{self.tag}' if ':' in self.tag else f'{self.name}:{self.tag}'

    @property
    def place(self) -> tuple[str, int]:
        """Manifest and position, which are the same for all names of an image."""
        return self.manifest, self.position

    def calls(self) -> Iterator[str]:
        """Yield the names by which users may select it: NAME, NAME:TAG, and the last components of either."""
        for whole in (self.name, str(self)):
            parts = whole.split('/')
            yield from ('/'.join(parts[first:]) for first in range(len(parts)))


class ListedImages:
    """The images that a directory lists; what concerns all of them is read once."""

    def __init__(self, root: str) -> None:
        """Raises as `list_choices`."""
        self._root, self.choices = root, list_choices(root)
        self._by_call: defaultdict[str, list[Choice]] = defaultdict(list)
        for choice in self.choices:
            for call in dict.fromkeys(choice.calls()):
                self._by_call[call].append(choice)

    def called(self, name: str | None, tag: str | None) -> list[Choice]:
        """Return the images selected by NAME, NAME:TAG, or the last components of either; None selects all."""
        named = self.choices if name is None else self._by_call.get(name, ())
        return [each for each in named if tag in (None, each.tag)]

    def of_digest(self, digits: str) -> list[Choice]:
        """Return the images whose config's name is a digest that begins with these digits."""
        return [choice for choice, names in self._digests if any(each.startswith(digits) for each in names)]

    @cached_property
    def _digests(self) -> Sequence[tuple[Choice, Sequence[str]]]:
        return [(choice, HEX.findall(saved_image(self._root, choice).config.lower())) for choice in self.choices]


def listing_version(root: str) -> Hashable:
    """Return a value that differs if the list of a directory's images may have changed; raises OSError."""
    found = [os.stat(root), *(os.stat(path) for name in (CATALOG, SINGLE) if os.path.exists(path := f'{root}/{name}'))]
    return tuple((each.st_dev, each.st_ino, each.st_mtime_ns, each.st_ctime_ns) for each in found)


def list_choices(root: str) -> list[Choice]:
    """Return the images in a directory, one for each name; raises InvalidImage, FileNotFoundError, OSError.

    A manifest that occurs once in the catalog has the name given there. Names of the others are read from the
    manifests, since version 0.4.17 lists one manifest under the names of all images that it ever contained.
    """
    catalog = list(read_catalog(root, links=True))
    names = Counter(entry.manifest for entry in catalog)
    listed = [Choice(entry.name, entry.tag, entry.manifest) for entry in catalog if names[entry.manifest] == 1]
    others = [name for name in manifest_names(root) if names[name] != 1]
    return listed + list(_tagged(root, others))


def _tagged(root: str, manifests: Sequence[str]) -> Iterator[Choice]:
    for manifest in manifests:
        for position, image in enumerate(read_manifest(root, manifest, links=True)):
            if not image.tags:
                yield Choice('', '', manifest, position)
            for tag in image.tags:
                named = _parse(tag, f'{root}/{manifest}').with_default_tag()
                yield Choice(named.name, named.tag or str(named.digest), manifest, position)


def saved_image(root: str, choice: Choice) -> SavedImage:
    """Return the chosen image's entry in its manifest; raises InvalidImage."""
    try:
        return read_manifest(root, choice.manifest, links=True)[choice.position]
    except FileNotFoundError:
        raise InvalidImage(f'{root}: {choice.manifest}, which the catalog lists for {choice}, is missing') from None
    except IndexError:
        raise InvalidImage(f'{root}: {choice.manifest} has changed since it was listed') from None


def reference_of(root: str, choice: Choice, image: SavedImage) -> Reference:
    """Return the full name of an image, with its host if the manifest has it; raises InvalidImage."""
    what = f'{root}/{choice.manifest}'
    for tag in image.tags:
        named = _parse(tag, what)
        if named.tag == choice.tag and choice.name in (named.name, named.repository):
            return named
    return _parse(str(choice), what) if choice.name else Reference(directory_name(root))


def _parse(text: str, what: str) -> Reference:
    try:
        return Reference.parse(text)
    except UsageError as error:
        raise InvalidImage(f'{what}: {error}') from None
