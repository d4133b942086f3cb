"""mount.json, which says what layers an image is made of, and mount.sh, which mounts them."""
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from occystrap_core import InvalidImage, value
from occystrap_core.oci import Digest, FieldNames, dump, parse_object

CATALOG, SCRIPT, LAYERS, TREES = 'mount.json', 'mount.sh', 'layers', '.occystrap/trees'
UNPACKING = '.occystrap/unpacking'
EMPTY = '.occystrap/empty'
USER_MARKS = '.occystrap/userxattr'
"""Whose existence tells that opaque folders are marked as whoever is not root may."""
CAP = 16 << 20
_FIELDS = FieldNames.of('image_id layers', free_top=True)
_FOLDER = re.compile(rf'{LAYERS}/[0-9a-f]{{32}}')


def layer_folder(diff_id: Digest) -> str:
    """Return the name of a layer's folder: half of the digest, so that a hundred of them fit into mount's options."""
    return f'{LAYERS}/{diff_id.hex[:32]}'


def tree_name(folder: str) -> str:
    """Return the name of the list of files in a layer's folder."""
    return f'{TREES}/{folder.removeprefix(f"{LAYERS}/")}.mtree'


@value
class Mounted:
    """One image: its name, its ID, and the folders of its layers, lowest first."""

    name: str
    image_id: str
    layers: Sequence[str]

    def canonical(self) -> bytes:
        """Return the bytes whose digest stands for this image in a receipt: mount.json if it had no other."""
        return dump({self.name: self._to_json()})

    def _to_json(self) -> dict[str, object]:
        return {'image_id': self.image_id, 'layers': list(self.layers)}

    @classmethod
    def from_json(cls, name: str, document: object, what: str) -> Self:
        """Return the image that an entry of mount.json is; raises InvalidImage."""
        layers = document.get('layers') if isinstance(document, dict) else None
        if not isinstance(document, dict) or not isinstance(layers, list) or not all(
                isinstance(each, str) and _FOLDER.fullmatch(each) for each in layers):
            raise InvalidImage(f'{what}: {name!r} is not followed by an image_id and the folders of layers')
        return cls(name, str(document.get('image_id')), tuple(layers))


@dataclass
class MountCatalog:
    """The images of a folder, by name."""

    images: dict[str, Mounted] = field(default_factory=dict)

    @classmethod
    def parse(cls, raw: bytes, what: str) -> Self:
        """Return the images in mount.json; raises InvalidImage, naming `what`."""
        entries = parse_object(raw, what, CAP, _FIELDS)
        return cls({name: Mounted.from_json(name, entry, what) for name, entry in entries.items()})

    def to_json(self) -> bytes:
        """Return mount.json."""
        return json.dumps({name: self.images[name]._to_json() for name in sorted(self.images)}, indent=4).encode()

    def script(self, user_marks: bool, hides_below: Callable[[str], bool]) -> bytes:
        """Return mount.sh, the same for the same images; `user_marks` tells that opaque folders are marked without
        root, `hides_below` whether a layer's own folder is: overlayfs does not heed that, so layers below are left out.
        """
        cases = ''.join(f'    {_quoted(image.name)}) layers={_lower(image, hides_below)} ;;\n'
                        for _, image in sorted(self.images.items()))
        filled = {'@CASES@': cases, '@ONLY@': _quoted(_only(self.images)),
                  '@EMPTY@': EMPTY, '@MARKS@': ',userxattr' if user_marks else ''}
        return re.sub('@[A-Z]+@', lambda match: filled[match[0]], _SCRIPT).encode()


def _only(images: dict[str, Mounted]) -> str:
    return next(iter(images)) if len(images) == 1 else ''


def _lower(image: Mounted, hides_below: Callable[[str], bool]) -> str:
    """Return the folders as overlayfs wants them, the uppermost first, each once."""
    seen: dict[str, None] = {}
    for folder in reversed(image.layers):
        seen[folder.removeprefix(f'{LAYERS}/')] = None
        if hides_below(folder):
            break
    return ':'.join(seen)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_SCRIPT = """\
#!/bin/sh
# Mounts an image: mount.sh [IMAGE] TARGET [WRITABLE], as root or in a user namespace (unshare -rm).
# IMAGE is a name in mount.json, to be left out if there is only one; WRITABLE is a folder that takes what is changed.
set -eu
usage() { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
only=@ONLY@
if [ -n "$only" ] && [ "${1:-}" != "$only" ]; then set -- "$only" "$@"; fi
[ $# -ge 2 ] && [ $# -le 3 ] || usage
case $1 in
@CASES@    *) echo "$0: no image $1 here" >&2; exit 2 ;;
esac
mkdir -p "$2"
target=$(cd "$2" && pwd)
options=lowerdir=$layers@MARKS@
if [ $# = 3 ]; then
    mkdir -p "$3/upper" "$3/work"
    writable=$(cd "$3" && pwd)
    options=$options,upperdir=$writable/upper,workdir=$writable/work
fi
cd "$(dirname "$0")/layers"
case $options in
*:*|*,upperdir=*) ;;
*) mkdir -p ../@EMPTY@  # overlayfs wants more than one
   options=lowerdir=$layers:../@EMPTY@@MARKS@ ;;
esac
exec mount -t overlay occystrap -o "$options" "$target"
"""
