"""Removing layers and configs that no manifest refers to: those of replaced images, and of unfinished runs."""
import re
from contextlib import suppress

from occystrap_dir.directory.manifests import layer_name, manifest_names, read_manifest
from occystrap_dir.workspace.one_name import WrongKind
from occystrap_dir.workspace.workspace import Workspace

_CONFIG = re.compile(r'[0-9a-f]{64}\.json')
_LAYER = re.compile(r'[0-9a-f]{64}(?:[0-9a-f]{64})?')


def remove_orphans(workspace: Workspace) -> None:
    """Remove configs and layers that no manifest in the directory refers to, or keep layers for the next run.

    Files with names that this format does not use are ignored. Raises OSError, and InvalidImage, before anything is
    removed, if a manifest cannot be read.
    """
    root, place = workspace.root, workspace.place
    images = [image for name in manifest_names(root) for image in read_manifest(root, name)]
    named = {name for image in images for name in (image.config, *image.layers)}
    workspace.keep_blobs(named)
    for entry in place.names():
        if _CONFIG.fullmatch(entry) and entry not in named:
            place.unlink(entry)
        if _LAYER.fullmatch(entry) and layer_name(entry) not in named:
            with suppress(WrongKind, IsADirectoryError):
                place.unlink(layer_name(entry))
            place.remove_empty(entry)  # other files in it stay
