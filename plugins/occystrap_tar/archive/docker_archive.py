"""Reading docker archives: manifest.json, configs, layers, in every layout of any version of `docker save`."""
import re
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from occystrap_core import Image, ImageNotFound, InvalidImage, Layer
from occystrap_core.files import set_error_rule
from occystrap_core.oci import (
    AMBIGUOUS, ARCHIVE_FIELDS, CONFIG_CAP, Compression, Digest, ImageConfig, Offer, Platform, Reference, parse_json,
    parse_name,
)
from occystrap_core.tar import TarLayer
from occystrap_tar.archive.members import MANIFEST, Archive, Member
from occystrap_tar.archive.tar_sizes import compression, tar_size

_REPOSITORIES = 'repositories'
_CAP = 16 << 20
_NAMED_BY_DIGEST = re.compile(r'(?:.*/)?(?:sha(?:256|512)[:-])?([0-9a-f]{64}(?:[0-9a-f]{64})?)(?:\.json)?',
                              re.IGNORECASE)


class ArchivedImage(NamedTuple):
    """One entry of manifest.json."""

    config: str
    tags: Sequence[str]
    layers: Sequence[str]
    image_id: Digest | None
    """The digest of the config's bytes; None if the config is missing, or too large."""

    @property
    def config_digest(self) -> Digest | None:
        """The digest in the config's name, None if there is none."""
        named = _NAMED_BY_DIGEST.fullmatch(self.config)
        return Digest.of_hex(named[1].lower()) if named else None

    @property
    def proved_digest(self) -> Digest | None:
        """The image ID; None if the config's name contains another digest, so that reading the image fails."""
        return self.image_id if self.config_digest in (None, self.image_id) else None


def offers(archive: Archive) -> list[Offer[ArchivedImage]]:
    """Return the images of an archive; raises InvalidImage for a malformed manifest.json."""
    with set_error_rule('manifest'):
        _require_one_meaning(archive)
        document = parse_json(archive.read(MANIFEST, _CAP), f'{archive.name}: {MANIFEST}', _CAP, ARCHIVE_FIELDS)
        if not isinstance(document, list) or not document:
            raise InvalidImage(f'{archive.name}: {MANIFEST} lists no images')
        images = [_archived_image(archive, entry) for entry in document]
    return [Offer(image, {tag: parse_name(tag) for tag in image.tags}, _hex(image)) for image in images]


def _hex(image: ArchivedImage) -> str:
    """Return the digits of the digest that an image is named by, empty if it has none."""
    digest = image.config_digest or image.image_id
    return digest.hex if digest else ''


def _require_one_meaning(archive: Archive) -> None:
    """Raise InvalidImage if the file `repositories`, which only old programs read, contains a name twice."""
    if _REPOSITORIES in archive.members:
        try:
            parse_json(archive.read(_REPOSITORIES, _CAP), f'{archive.name}: {_REPOSITORIES}', _CAP)
        except InvalidImage as error:
            if error.rule == AMBIGUOUS:
                raise


def holds_blobs(archive: Archive, image: ArchivedImage) -> bool:
    """Return whether a layer is compressed: `docker save` then copied the blobs of a containerd store."""
    with set_error_rule('layer'):
        return any(compression(archive, archive.find(name)) is not Compression.NONE for name in image.layers)


def for_platform(archive: Archive, offers: Sequence[Offer[ArchivedImage]], requested: Platform,
                 ) -> list[Offer[ArchivedImage]]:
    """Return the images; of several with the same names, only those for the requested platform, if there are any.

    Raises ImageNotFound, with the platforms, if the archive has no other names and none of the images fits.
    """
    by_name: dict[tuple[str, ...], list[Offer[ArchivedImage]]] = {}
    for offer in offers:
        by_name.setdefault(tuple(offer.names), []).append(offer)
    return [each for names, same in by_name.items() for each in (
        same if len(same) == 1 or not names else _fitting(archive, same, requested, len(by_name) == 1))]


def _fitting(archive: Archive, same: Sequence[Offer[ArchivedImage]], requested: Platform, only: bool,
             ) -> Sequence[Offer[ArchivedImage]]:
    platforms = [read_config(archive, offer.image).platform for offer in same]
    fitting = [offer for offer, platform in zip(same, platforms, strict=True) if platform.satisfies(requested)]
    if only and not fitting and len(set(platforms)) > 1:
        raise ImageNotFound(f'no image for platform {requested}; available: {", ".join(sorted(map(str, platforms)))}')
    return fitting or same


def read_config(archive: Archive, chosen: ArchivedImage) -> ImageConfig:
    """Return an image's config; raises InvalidImage if it is malformed, or its digest is not the one in its name."""
    with set_error_rule('config'):
        raw = archive.read(chosen.config, CONFIG_CAP)
        named = chosen.config_digest
        if named and (digest := Digest.of(raw, named.algorithm)) != named:
            raise InvalidImage(f'{archive.name}: the config {chosen.config} has digest {digest}, not the one in its '
                               'name: make the archive again', problem='digest')
        return ImageConfig.parse(raw)


def open_image(archive: Archive, chosen: ArchivedImage, reference: Reference) -> Image:
    """Return the image; raises InvalidImage if config and layers do not match."""
    config = read_config(archive, chosen)
    if len(config.diff_ids) != len(chosen.layers):
        raise InvalidImage(f'{archive.name}: {MANIFEST} lists {len(chosen.layers)} layers, the config '
                           f'{len(config.diff_ids)}', 'layer-count')
    with set_error_rule('layer'):
        members = [archive.find(name) for name in chosen.layers]
    _check_shared(archive, members, config.diff_ids)
    layers: list[Layer] = [_layer(archive, index, member, diff_id)
                           for index, (member, diff_id) in enumerate(zip(members, config.diff_ids, strict=True))]
    return Image(reference, config, layers)


def _layer(archive: Archive, index: int, member: Member, diff_id: Digest) -> TarLayer:
    return TarLayer(index, diff_id, partial(archive.open, member), tar_size(archive, member),
                    f'{member.name} of {archive.name}')


def _check_shared(archive: Archive, members: Sequence[Member], diff_ids: Sequence[Digest]) -> None:
    """Raise InvalidImage if one member stands for two diff_ids."""
    claimed: dict[str, Digest] = {}
    for member, diff_id in zip(members, diff_ids, strict=True):
        if claimed.setdefault(member.name, diff_id) != diff_id:
            raise InvalidImage(f'{archive.name}: {member.name} cannot be both {claimed[member.name]} and {diff_id}',
                               'layer-shared')


def _archived_image(archive: Archive, entry: object) -> ArchivedImage:
    if not isinstance(entry, dict):
        raise InvalidImage(f'{archive.name}: {MANIFEST} has an entry that is not an object')
    config, tags, layers = entry.get('Config'), entry.get('RepoTags') or [], entry.get('Layers') or []
    if not isinstance(config, str) or not _is_text_list(tags) or not _is_text_list(layers):
        raise InvalidImage(f'{archive.name}: {MANIFEST} has an entry without Config, RepoTags and Layers')
    return ArchivedImage(config, tags, layers, _image_id(archive, config))


def _image_id(archive: Archive, config: str) -> Digest | None:
    try:
        member = archive.find(config)
    except InvalidImage:
        return None
    return Digest.of(archive.part(member, 0, member.size)) if member.size <= CONFIG_CAP else None


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
