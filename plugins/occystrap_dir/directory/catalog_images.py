"""The images that a directory holds, by the names that its catalog and its manifests give them."""
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from occystrap_core import InvalidImage, UsageError
from occystrap_core.oci import Reference
from occystrap_dir.directory.catalog import read_catalog
from occystrap_dir.directory.manifests import SavedImage, manifest_names, read_manifest
from occystrap_dir.workspace.names import directory_name


class Choice(NamedTuple):
    """One image of a directory: its name and tag, empty if it has none, and its place in a manifest."""

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
        """What two names of the same image have in common."""
        return self.manifest, self.position

    def is_called(self, name: str | None, tag: str | None) -> bool:
        """Tell whether the user means this one, by NAME, NAME:TAG or the end of either; None stands for any."""
        named = name is None or any(f'/{each}'.endswith(f'/{name}') for each in (self.name, str(self)))
        return named and tag in (None, self.tag)


def list_choices(root: str) -> list[Choice]:
    """Return the images in a directory, each once for every name; raises InvalidImage, FileNotFoundError, OSError.

    A manifest that the catalog lists under one name has that name. The others are asked themselves: version 0.4.17
    lists one manifest under the names of all images that it ever held.
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
        raise InvalidImage(f'{root}: {choice.manifest}, which the catalog names for {choice}, is missing') from None
    except IndexError:
        raise InvalidImage(f'{root}: {choice.manifest} has changed since it was listed') from None


def reference_of(root: str, choice: Choice, image: SavedImage) -> Reference:
    """Return the full name of an image, with its host where the manifest has it; raises InvalidImage."""
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
