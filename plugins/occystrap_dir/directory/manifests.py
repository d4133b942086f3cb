"""manifest.json as `docker save` writes it: a list of images, each with its config, its tags and its layers.

The format is described in Docker's image spec v1.2 ("Combined Image JSON + Filesystem Changeset Format").
"""
import json
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from occystrap_core import InvalidImage, WrittenImage
from occystrap_core.files import ParsedContents
from occystrap_core.oci import ARCHIVE_FIELDS, Digest, list_or_null, parse_json, required_field
from occystrap_dir.workspace.names import read_document

SINGLE = 'manifest.json'
CAP = 16 << 20
"""The size limit for manifest.json and catalog.json, in bytes."""
_NAME = re.compile(r'manifest(-.+)?\.json')


class SavedImage(NamedTuple):
    """One image of a manifest; config and layers are names of files in the directory, layers lowest first."""

    config: str
    tags: Sequence[str]
    layers: Sequence[str]

    @classmethod
    def from_json(cls, document: object, what: str) -> 'SavedImage':
        """Return an entry of a parsed manifest; raises InvalidImage, which names `what`, if it is malformed."""
        if not isinstance(document, dict):
            raise InvalidImage(f'{what}: an image is not a JSON object')
        tags, layers = list_or_null(document, 'RepoTags', what), list_or_null(document, 'Layers', what)
        if not all(isinstance(name, str) for name in [*tags, *layers]):
            raise InvalidImage(f'{what}: RepoTags or Layers are not lists of strings')
        return cls(required_field(document, 'Config', str, what), tuple(tags), tuple(layers))


def layer_name(diff_id_hex: str) -> str:
    """Return the name of a layer's file."""
    return f'{diff_id_hex}/layer.tar'


def name_of_layer(diff_id: Digest) -> str:
    """Return the name of the file of a layer with this diff_id."""
    return layer_name(diff_id.hex)


def manifest_names(root: str) -> list[str]:
    """Return the names of all manifests in a directory, sorted; raises OSError."""
    return sorted(name for name in os.listdir(root) if _NAME.fullmatch(name))


def is_manifest_name(name: object) -> bool:
    """Return whether a catalog may have a manifest of this name."""
    return isinstance(name, str) and bool(_NAME.fullmatch(name)) and '/' not in name


_KNOWN: ParsedContents[Sequence[SavedImage]] = ParsedContents()
"""Cached because one manifest may list all images of a directory, and is read for each of them."""


def read_manifest(root: str, name: str, links: bool = False) -> Sequence[SavedImage]:
    """Return the images of a manifest; `links`, for sources only, follows links. Raises InvalidImage, OSError."""
    raw = read_document(root, name, CAP, links)
    known = _KNOWN.get(raw)
    if known is None:
        known = _parse_manifest(raw, f'{root}/{name}')
        _KNOWN.keep(raw, known)
    return known


def _parse_manifest(raw: bytes, what: str) -> Sequence[SavedImage]:
    images = parse_json(raw, what, CAP, ARCHIVE_FIELDS)
    if isinstance(images, dict) and 'schemaVersion' in images:
        raise InvalidImage(f'{what} is the manifest of an image, as skopeo writes it to dir:, not a list of images: '
                           'let skopeo copy the image to oci:DIRECTORY, and read layout://DIRECTORY')
    if not isinstance(images, list) or not images:
        raise InvalidImage(f'{what} is not a list of images')
    return tuple(SavedImage.from_json(image, what) for image in images)


def build_manifest(image: WrittenImage, unique: bool) -> bytes:
    """Return the manifest of one image, the same bytes for the same image.

    With `unique` it also has the field ImageName, as version 0.4.17 of occystrap writes it.
    """
    entry: dict[str, object] = {'Config': f'{image.config.digest.hex}.json'}
    if unique:
        entry['ImageName'] = image.reference.repository
    entry['RepoTags'] = [image.reference.familiar] if image.reference.familiar else []
    entry['Layers'] = [layer.locator for layer in image.layers]
    return json.dumps([entry], indent=4, ensure_ascii=False).encode()
