"""Reading dir://: directories that this plugin wrote, those of version 0.4.17, and unpacked `docker save` archives."""
import io
import json
import os
import re
from collections.abc import Callable, Hashable, Sequence

from occystrap_core import Image, ImageInput, ImageNotFound, InvalidImage, Location, Place, Settings, UsageError
from occystrap_core.files import set_error_rule
from occystrap_core.oci import (
    AMBIGUOUS, CONFIG_CAP, Digest, ImageConfig, Reference, has_glob, matches_name, parse_json,
)
from occystrap_core.tar import TarLayer
from occystrap_dir.directory.catalog import named_as
from occystrap_dir.directory.catalog_images import (
    HEX, Choice, ListedImages, listing_version, reference_of, saved_image,
)
from occystrap_dir.workspace.names import open_inside, read_document, require_directory

_DIGEST = re.compile(r'(?:sha(?:256|512):)?([0-9a-f]{12,128})')


class DirInput(ImageInput):
    """Reads all images of a directory, or those that the options image and tag select; `?image=` may be a pattern."""

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        self._root = Place.absolute(location.path)
        self._chosen: dict[Reference, Choice] = {}

    def references(self) -> Sequence[Reference]:
        """Return the chosen images; raises ImageNotFound, InvalidImage."""
        with set_error_rule('manifest'):
            for choice in self._choose():
                reference = self._reference(choice)
                if self._chosen.setdefault(reference, choice).place != choice.place:
                    raise UsageError(f'{self._root} has several images {reference}: choose one by the digest of its '
                                     'config, ?image=sha256:…')
        return list(self._chosen)

    def open(self, reference: Reference) -> Image:
        """Return the image; its layers are checked against their diff_ids as they are read. Raises InvalidImage."""
        if reference not in self._chosen and reference not in self.references():
            raise ImageNotFound(f'{self._root} holds no image {reference}')
        with set_error_rule('manifest'):
            saved = saved_image(self._root, self._chosen[reference])
        with set_error_rule('config'):
            config = self._config(saved.config)
        if len(config.diff_ids) != len(saved.layers):
            raise InvalidImage(f'{self._root}: the manifest has {len(saved.layers)} layers, the config '
                               f'{len(config.diff_ids)} diff_ids', 'layer-count')
        if len(set(zip(saved.layers, config.diff_ids))) > len(set(saved.layers)):
            raise InvalidImage(f'{self._root}: one layer file is used for two diff_ids', 'layer-shared')
        layers = [self._layer(index, diff_id, name)
                  for index, (diff_id, name) in enumerate(zip(config.diff_ids, saved.layers, strict=True))]
        return Image(reference, config, layers)

    def place(self, reference: Reference) -> Place:
        """Return the directory, with the image's name in it."""
        return Place.at(self._root, str(named_as(reference)), reference.host)

    def present_digest(self, reference: Reference) -> Digest:
        """Return the digest of the config: the image ID."""
        with set_error_rule('config'):
            return self._config(saved_image(self._root, self._chosen[reference]).config).digest

    def location_of(self, reference: Reference) -> Location:
        """Return the location of one of several images, by its name and tag."""
        choice = self._chosen[reference]
        if len(self._chosen) < 2 or not choice.name:
            return self.location
        return self.location.with_options(image=choice.name, tag=choice.tag)

    def content_key(self, reference: Reference) -> Hashable:
        """Return the image's manifest and position in it, which are the same for all its names."""
        return self._chosen[reference].place

    def _choose(self) -> Sequence[Choice]:
        require_directory(self._root)
        name, tag = self.location.options['image'], self.location.options['tag']
        listed = self._listed()
        if not listed.choices:
            other = '; it is an image layout: write layout://' if os.path.isfile(f'{self._root}/oci-layout') else ''
            raise ImageNotFound(f'{self._root} holds no image: it has neither manifest.json nor catalog.json{other}',
                                'manifest-missing')
        if name and has_glob(name):
            called = [each for each in listed.choices if each.name and tag in (None, each.tag)
                      and matches_name(name, each.name, self._reference(each))]
        else:
            digits = _DIGEST.fullmatch(name or '')
            called = listed.called(name, tag) or (listed.of_digest(digits[1]) if digits else [])
        if not called:
            names = ', '.join(sorted(map(str, listed.choices)))
            raise ImageNotFound(f'{self._root} holds no image {name or "…"}:{tag or "…"}; available: {names}')
        return called

    def _reference(self, choice: Choice) -> Reference:
        return reference_of(self._root, choice, saved_image(self._root, choice))

    def _listed(self) -> ListedImages:
        """Return all images, listed once for all entries of a list that name one image each."""
        try:
            return self.settings.shared.get((ListedImages, self._root, listing_version(self._root)),
                                            lambda: ListedImages(self._root))
        except OSError as error:
            raise InvalidImage(f'{self._root} cannot be read: {error.strerror}') from None

    def _config(self, name: str) -> ImageConfig:
        try:
            raw = read_document(self._root, name, CONFIG_CAP, links=True)
        except OSError as error:
            raise InvalidImage(f'{self._root}: config {name} cannot be read: {error.strerror}',
                               problem='missing') from None
        claimed = HEX.search(os.path.basename(name).lower())
        named = Digest.of_hex(claimed[0]) if claimed else None
        if named and (digest := Digest.of(raw, named.algorithm)) != named and not _is_reformatted(raw):
            raise InvalidImage(f'{self._root}: config {name} has digest {digest}, not the one in its name',
                               problem='digest')
        try:
            return ImageConfig.parse(raw)
        except InvalidImage as error:
            raise error.renamed(f'{self._root}: {name}: {error}') from None

    def _layer(self, index: int, diff_id: Digest, name: str) -> TarLayer:
        opener = self._opener(name)
        with opener() as file:
            size = os.fstat(file.fileno()).st_size
        return TarLayer(index, diff_id, opener, size, f'{self._root}/{name}')

    def _opener(self, name: str) -> Callable[[], io.FileIO]:
        def opener() -> io.FileIO:
            try:
                return io.FileIO(open_inside(self._root, name))
            except OSError as error:
                raise InvalidImage(f'{self._root}: layer {name} cannot be read: {error.strerror}',
                                   'layer-missing') from None
        return opener


def _is_reformatted(raw: bytes) -> bool:
    """Return whether a config is formatted as by 0.4.17, which names the file by the digest of the original bytes."""
    try:
        return raw == json.dumps(parse_json(raw, 'the config'), indent=4, sort_keys=True).encode()
    except InvalidImage as error:
        if error.rule == AMBIGUOUS:
            raise
        return False
