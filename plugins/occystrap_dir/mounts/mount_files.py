"""mount.json, which lists the layers of each image, and mount.sh, which mounts them."""
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from occystrap_core import InvalidImage, OutputError, Receipt
from occystrap_core.oci import Digest, FieldNames, dump_json, parse_object

CATALOG, SCRIPT, LAYERS, TREES = 'mount.json', 'mount.sh', 'layers', '.occystrap/trees'
UNPACKING = '.occystrap/unpacking'
EMPTY = '.occystrap/empty'
USER_MARKS = '.occystrap/userxattr'
"""A file that exists if opaque directories are marked by `user.` attributes, which do not need root."""
CAP = 16 << 20
_FIELDS = FieldNames.of('image_id layers', free_top=True)
_MOST = 500
"""The limit of Linux (OVL_MAX_STACK)."""
_DIRECTORY, _COVER = re.compile(rf'{LAYERS}/[0-9a-f]{{32}}'), re.compile(rf'(?:{re.escape(TREES)}/[0-9a-f]{{32}})?')


def layer_directory(diff_id: Digest) -> str:
    """Return the name of a layer's directory: half of its digest."""
    return f'{LAYERS}/{diff_id.hex[:32]}'


def cover_directory(diff_ids: Sequence[Digest]) -> str:
    """Return the name of the cover, the directory on top of these layers if they need one (see stack.py)."""
    return f'{TREES}/{Digest.of(" ".join(diff_ids).encode()).hex[:32]}'


def tree_name(directory: str) -> str:
    """Return the name of the list of files in a layer's directory, or in a cover."""
    return f'{TREES}/{directory.rpartition("/")[2]}.mtree'


def directory_of(listing: str, receipt: Receipt) -> str:
    """Return the name of the directory whose list of files this is."""
    cover = cover_directory(receipt.diff_ids)
    return cover if listing == tree_name(cover) else listing.replace(TREES, LAYERS, 1).removesuffix('.mtree')


class Mounted(NamedTuple):
    """One image: its name, its ID, and the directories of its layers, lowest first."""

    name: str
    image_id: str
    layers: Sequence[str]
    cover: str = ''
    """The directory on top of them, if they need one."""

    @classmethod
    def of(cls, receipt: Receipt, name: str) -> Self:
        """Return what an image is mounted from, according to its receipt."""
        cover = cover_directory(receipt.diff_ids)
        has_cover = any(each.locator == tree_name(cover) for each in receipt.of_kind('files'))
        return cls(name, receipt.image_id, tuple(map(layer_directory, receipt.diff_ids)), cover if has_cover else '')

    @property
    def directories(self) -> list[str]:
        """All directories that it is mounted from, lowest first."""
        return [*self.layers, *([self.cover] if self.cover else [])]

    def canonical(self) -> bytes:
        """Return the bytes whose digest a receipt has for this image: those of a mount.json with this image alone."""
        return dump_json({self.name: self._to_json()})

    def _to_json(self) -> dict[str, object]:
        cover = {'cover': self.cover} if self.cover else {}
        return {'image_id': self.image_id, 'layers': list(self.layers), **cover}

    @classmethod
    def from_json(cls, name: str, document: object, what: str) -> Self:
        """Return the image of an entry of mount.json; raises InvalidImage, which names `what`."""
        given = document if isinstance(document, dict) else {}
        layers, cover = given.get('layers'), given.get('cover', '')
        if not isinstance(layers, list) or not isinstance(cover, str) or not _COVER.fullmatch(cover) or not all(
                isinstance(each, str) and _DIRECTORY.fullmatch(each) for each in layers):
            raise InvalidImage(f'{what}: {name!r} does not have an image_id and the directories of layers')
        return cls(name, str(given.get('image_id')), tuple(layers), cover)


@dataclass
class MountCatalog:
    """The images of a directory, by name."""

    images: dict[str, Mounted] = field(default_factory=dict)

    @classmethod
    def parse(cls, raw: bytes, what: str) -> Self:
        """Return the images in mount.json; raises InvalidImage, which names `what`."""
        entries = parse_object(raw, what, CAP, _FIELDS)
        return cls({name: Mounted.from_json(name, entry, what) for name, entry in entries.items()})

    def to_json(self) -> bytes:
        """Return the content of mount.json."""
        return json.dumps({name: self.images[name]._to_json() for name in sorted(self.images)}, indent=4).encode()

    def script(self, user_marks: bool, hides_below: Callable[[str], bool]) -> bytes:
        """Return the content of mount.sh, the same for the same images.

        With `user_marks`, opaque directories are marked by `user.` attributes. `hides_below` returns whether the root
        of a layer is opaque: overlayfs ignores that, so the layers below it are left out.
        """
        cases = ''.join(f'    {_quoted(name)}) layers={_quoted(_lower(image, hides_below))} ;;\n'
                        for name, image in sorted(self.images.items()))
        filled = {'@CASES@': cases, '@ONLY@': _quoted(_only(self.images)),
                  '@EMPTY@': EMPTY, '@MARKS@': ',userxattr' if user_marks else ''}
        return re.sub('@[A-Z]+@', lambda match: filled[match[0]], _SCRIPT).encode()


def _only(images: dict[str, Mounted]) -> str:
    return next(iter(images)) if len(images) == 1 else ''


def require_mountable(image: Mounted) -> None:
    """Raise OutputError if overlayfs cannot mount that many layers."""
    count = len(set(image.directories))
    if count > _MOST:
        raise OutputError(f'{count} layers cannot be mounted: overlayfs takes up to {_MOST}; write the image to '
                          'oci://, which puts all into one tree')


def _lower(image: Mounted, hides_below: Callable[[str], bool]) -> str:
    """Return the directories in the order of overlayfs, the uppermost first, each once."""
    seen: dict[str, None] = {}
    for directory in reversed(image.directories):
        seen[directory.removeprefix(f'{LAYERS}/') if directory != image.cover else f'../{directory}'] = None
        if hides_below(directory):
            break
    return ' '.join(seen)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_SCRIPT = """\
#!/bin/sh
# Mounts an image: mount.sh [IMAGE] TARGET [WRITABLE], as root or in a user namespace (unshare -rm).
# IMAGE is a name in mount.json, to be left out if there is only one; WRITABLE is a directory that takes the changes.
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
here=$(cd "$(dirname "$0")" && pwd)
links=$(mktemp -d)  # short names without commas and colons: mount(2) takes 4,096 bytes of options
trap 'rm -rf "$links"' EXIT
trap 'exit 1' HUP INT TERM
count=0
lower=
for layer in $layers; do
    count=$((count + 1))
    ln -s "$here/layers/$layer" "$links/$count"
    lower=$lower:$count
done
options=
if [ $# = 3 ]; then
    mkdir -p "$3/upper" "$3/work"
    writable=$(cd "$3" && pwd)
    ln -s "$writable/upper" "$links/upper"
    ln -s "$writable/work" "$links/work"
    options=,upperdir=upper,workdir=work
elif [ $count = 1 ]; then  # overlayfs needs more than one
    mkdir -p "$here/@EMPTY@"
    ln -s "$here/@EMPTY@" "$links/empty"
    lower=$lower:empty
fi
cd "$links"
export LIBMOUNT_FORCE_MOUNT2=always  # the newer calls take 256 bytes
mount -t overlay occystrap -o "lowerdir=${lower#:}$options@MARKS@" "$target"
"""


def kept_name(name: str) -> str:
    """Return the name of the file for the receipt of an image, by its name in mount.json."""
    return f'{hashlib.sha256(name.encode()).hexdigest()[:32]}.json'
