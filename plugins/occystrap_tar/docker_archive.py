"""Reading docker archives: manifest.json, configs, layers, in every layout that `docker save` has had."""
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from occystrap_core import Image, InvalidImage, Layer, TarLayer, UsageError
from occystrap_core.oci import MANIFEST_CAP, Digest, ImageConfig, Reference, parse_json
from occystrap_tar.members import Archive, Member

MANIFEST = 'manifest.json'
_CAP = 16 << 20


@dataclass(frozen=True)
class ArchivedImage:
    """One entry of manifest.json."""

    config: str
    tags: Sequence[str]
    layers: Sequence[str]

    @property
    def reference(self) -> Reference:
        """What to call it: its first tag, else its config."""
        return Reference.parse(self.tags[0]) if self.tags else Reference('untagged')


def archived_images(archive: Archive) -> list[ArchivedImage]:
    """Return the images of an archive; raises InvalidImage for a malformed manifest.json."""
    document = parse_json(archive.read(MANIFEST, _CAP), f'{archive.name}: {MANIFEST}', _CAP)
    if not isinstance(document, list) or not document:
        raise InvalidImage(f'{archive.name}: {MANIFEST} lists no images')
    return [_archived_image(archive, entry) for entry in document]


def choose(images: Sequence[ArchivedImage], wanted: str | None, path: str) -> ArchivedImage:
    """Return the image tagged `wanted`, or the only one; raises UsageError that lists the tags."""
    tags = ', '.join(tag for image in images for tag in image.tags) or 'no tags'
    if wanted is None:
        if len(images) > 1:
            raise UsageError(f'{path} has {len(images)} images, choose one with ?image=: {tags}')
        return images[0]
    for image in images:
        if wanted in image.tags:
            return image
    raise UsageError(f'{path} has no image {wanted}; there is: {tags}')


def open_image(archive: Archive, chosen: ArchivedImage) -> Image:
    """Return the image; raises InvalidImage when config and layers do not fit together."""
    config = ImageConfig.parse(archive.read(chosen.config, MANIFEST_CAP))
    _check_config_name(archive, chosen.config, config)
    if len(config.diff_ids) != len(chosen.layers):
        raise InvalidImage(f'{archive.name}: {MANIFEST} lists {len(chosen.layers)} layers, the config '
                           f'{len(config.diff_ids)}')
    members = [archive.find(name) for name in chosen.layers]
    _check_shared(archive, members, config.diff_ids)
    layers: list[Layer] = [_layer(archive, index, member, diff_id)
                           for index, (member, diff_id) in enumerate(zip(members, config.diff_ids, strict=True))]
    return Image(chosen.reference, config, layers)


def _layer(archive: Archive, index: int, member: Member, diff_id: Digest) -> TarLayer:
    size = None if _compressed(archive, member) else member.size
    return TarLayer(index, diff_id, partial(archive.open, member), size, f'{member.name} of {archive.name}')


def _compressed(archive: Archive, member: Member) -> bool:
    with open(archive.path, 'rb') as file:
        file.seek(member.offset)
        return file.read(4).startswith((b'\x1f\x8b', b'\x28\xb5\x2f\xfd'))


def _check_config_name(archive: Archive, name: str, config: ImageConfig) -> None:
    """Raise InvalidImage when a config named by a digest has another."""
    stem = name.rpartition('/')[2].removesuffix('.json')
    if len(stem) == 64 and stem != config.digest.hex:
        raise InvalidImage(f'{archive.name}: the config {name} has digest {config.digest}')


def _check_shared(archive: Archive, members: Sequence[Member], diff_ids: Sequence[Digest]) -> None:
    """Raise InvalidImage when one member stands for two diff_ids."""
    claimed: dict[str, Digest] = {}
    for member, diff_id in zip(members, diff_ids, strict=True):
        if claimed.setdefault(member.name, diff_id) != diff_id:
            raise InvalidImage(f'{archive.name}: {member.name} cannot be both {claimed[member.name]} and {diff_id}')


def _archived_image(archive: Archive, entry: object) -> ArchivedImage:
    if not isinstance(entry, dict):
        raise InvalidImage(f'{archive.name}: {MANIFEST} has an entry that is no object')
    config, tags, layers = entry.get('Config'), entry.get('RepoTags') or [], entry.get('Layers') or []
    if not isinstance(config, str) or not _is_text_list(tags) or not _is_text_list(layers):
        raise InvalidImage(f'{archive.name}: {MANIFEST} has an entry without Config, RepoTags and Layers')
    return ArchivedImage(config, tags, layers)


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
