"""Comparing an image of a docker archive with a receipt that was made for another place: by name, config and layers."""
from collections.abc import Iterable, Sequence

from occystrap_core import READ, CheckResults, Expectation, InvalidImage, Receipt, Settings, VerifyLevel
from occystrap_core.files import inflated_stream
from occystrap_core.oci import CONFIG_CAP, Compression, Digest, ImageConfig, Offer, Reference, first_names
from occystrap_tar.archive.docker_archive import ArchivedImage, offers
from occystrap_tar.archive.members import Archive, Member
from occystrap_tar.archive.tar_sizes import compression


class ImageCheck:
    """Looks one image up by its name, and reads its config and layers; any program may have written the archive."""

    def __init__(self, archive: Archive, receipt: Receipt, level: VerifyLevel, settings: Settings) -> None:
        self._archive, self._receipt, self._level, self._settings = archive, receipt, level, settings
        self.results = CheckResults()

    def run(self) -> CheckResults:
        """Return what was found."""
        tag, = self._receipt.of_kind('tag')
        try:
            offered = offers(self._archive)
            images = _named(offered, tag.locator, tag.digest)
            if len(images) > 1:
                self.results.differs(tag, f'{self._archive.path} lists this name for several images, and docker load '
                                          f'gives it to the last: {", ".join(each.config for each in images)}')
            elif images:
                self._look(tag, images[0])
            else:
                there = first_names([name for offer in offered for name in offer.names]) or 'no name'
                self.results.missing(tag, f'{self._archive.path} does not list it; available: {there}')
        except InvalidImage as error:
            self.results.differs(tag, str(error))
        return self.results

    def _look(self, tag: Expectation, image: ArchivedImage) -> None:
        config, = self._receipt.of_kind('config')
        raw = self._archive.read(image.config, CONFIG_CAP)
        self.results.found(tag, digest=Digest.of(raw, tag.digest.algorithm), evidence=READ)
        self.results.read(config, raw)
        if Digest.of(raw, config.digest.algorithm) == config.digest:
            self._look_at_layers(ImageConfig.parse(raw).diff_ids, image)

    def _look_at_layers(self, diff_ids: Iterable[Digest], image: ArchivedImage) -> None:
        """Report the member for each layer of the image, located by its position."""
        diff_ids = tuple(diff_ids)
        if len(image.layers) != len(diff_ids):
            self.results.error(self._archive.path, f'lists {len(image.layers)} layers for {self._receipt.reference}, '
                                                   f'expected {len(diff_ids)}')
        expected = {each.digest: each for each in self._receipt.of_kind('layer')}
        files = {(name, expected[diff_id]): None for name, diff_id in zip(image.layers, diff_ids)
                 if diff_id in expected}
        self._settings.in_parallel(lambda pair: self._layer(*pair), list(files))

    def _layer(self, name: str, expected: Expectation) -> None:
        try:
            member = self._archive.find(name)
            is_compressed = compression(self._archive, member) is not Compression.NONE
            is_full = self._level is VerifyLevel.FULL and expected.size == member.size
            if is_compressed or is_full or expected.has_unknown_size:
                self._hash(member, expected)
            else:
                self.results.found(expected, size=member.size, evidence=READ)
        except InvalidImage as error:
            self.results.differs(expected, str(error))
        except OSError as error:
            self.results.unreachable(expected, f'cannot be read: {error.strerror}')

    def _hash(self, member: Member, expected: Expectation) -> None:
        """Report size and digest of a tar; `docker save` of a containerd store writes it compressed."""
        size = None if expected.has_unknown_size else expected.size
        with inflated_stream(self._archive.open(member), member.name, size, expected.digest.algorithm) as stream:
            stream.observe(lambda count: self._settings.cancellation.check())
            digest = stream.drain()
        self.results.found(expected, size=stream.size, digest=digest, evidence=READ)


def _named(offered: list[Offer[ArchivedImage]], name: str, image_id: Digest) -> Sequence[ArchivedImage]:
    """Return the images with a name; one that is listed twice only once.

    An image without a tag has no name in a docker archive, and is found by its ID.
    """
    wanted = Reference.parse(name)
    if wanted.digest and not wanted.tag:
        return [offer.image for offer in offered if offer.hex == image_id.hex][:1]
    tagged = wanted._replace(digest=None).as_docker
    found = [offer.image for offer in offered if tagged in [each.as_docker for each in offer.names.values()]]
    return [*{(each.image_id, *each.layers): each for each in found}.values()]
