"""Comparing an image in a directory with a receipt for another place: by its name, config and layers."""
from dataclasses import replace

from occystrap_core import READ, CheckResults, Expectation, Location, Place, Receipt, Settings, VerifyLevel
from occystrap_core.oci import CONFIG_CAP, Digest, ImageConfig, Reference, first_names, parse_name
from occystrap_dir.directory.catalog_images import Choice, list_choices, saved_image
from occystrap_dir.directory.manifests import SavedImage
from occystrap_dir.workspace.file_errors import report_tar, reporting
from occystrap_dir.workspace.names import read_document


def moved(receipt: Receipt, location: Location) -> Receipt:
    """Return the receipt for the same image in a directory; raises UsageError for an index.

    A receipt for a directory holds for the same bytes at another path.
    """
    path = Place.absolute(location.path)
    if receipt.scheme == 'dir':
        return receipt.at(path)
    return replace(receipt.located_by_diff_id(), scheme='dir', path=path, options={})


class ImageCheck:
    """Looks one image up by its name, and reads its config and layers; other programs may have written them."""

    def __init__(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> None:
        self._receipt, self._level, self._settings = receipt, level, settings
        self._root = receipt.path
        self.results = CheckResults()

    def run(self) -> CheckResults:
        """Return what was found."""
        tag, = self._receipt.of_kind('tag')
        with reporting(tag, self.results):
            choices = list_choices(self._root)
            images = {each.place: saved_image(self._root, each) for each in _named(choices, tag.locator)}
            found = [*{(each.config, *each.layers): each for each in images.values()}.values()]
            if len(found) > 1:
                self.results.differs(tag, f'{self._root} lists this name for several images, and programs may read any '
                                          f'of them: {", ".join(each.config for each in found)}')
            elif found:
                self._look(tag, found[0])
            else:
                there = first_names([str(each) for each in choices]) or 'no image'
                self.results.missing(tag, f'{self._root} does not list it; available: {there}')
        return self.results

    def _look(self, tag: Expectation, saved: SavedImage) -> None:
        config, = self._receipt.of_kind('config')
        found = CheckResults()
        with reporting(config, found):
            raw = read_document(self._root, saved.config, CONFIG_CAP)
            self.results.found(tag, digest=Digest.of(raw, tag.digest.algorithm), evidence=READ)
            found.read(config, raw)
            if Digest.of(raw, config.digest.algorithm) == config.digest:
                self._look_at_layers(ImageConfig.parse(raw).diff_ids, saved)
        self.results.extend(found)

    def _look_at_layers(self, diff_ids: tuple[Digest, ...], saved: SavedImage) -> None:
        """Report the file for each layer of the image, located by its position."""
        if len(saved.layers) != len(diff_ids):
            self.results.error(self._root, f'lists {len(saved.layers)} layers for {self._receipt.reference}, expected '
                                           f'{len(diff_ids)}')
        expected = {each.digest: each for each in self._receipt.of_kind('layer')}
        files = {(name, expected[diff_id]): None for name, diff_id in zip(saved.layers, diff_ids)
                 if diff_id in expected}
        for found in self._settings.in_parallel(lambda pair: self._layer(*pair), list(files)):
            self.results.extend(found)

    def _layer(self, name: str, expected: Expectation) -> CheckResults:
        found = CheckResults()
        with reporting(expected, found, lambda error: f'{name} is missing in {self._root}'):
            report_tar(expected, self._root, self._level is VerifyLevel.FULL, self._settings, found, name)
        return found


def _named(choices: list[Choice], name: str) -> list[Choice]:
    """Return the images with a name; names in a directory may lack the host."""
    asked = Reference.parse(name)
    wanted = (asked._replace(digest=None) if asked.tag else asked).as_docker
    there = [(each, parse_name(str(each)).as_docker) for each in choices if each.name]
    return ([each for each, named in there if named == wanted]
            or [each for each, named in there if named == wanted._replace(host='')])
