"""Whether images may be written to a layout, and what it has so far: asked before anything is downloaded."""
from occystrap_core import InvalidImage, OutputError, writing
from occystrap_core.oci import INDEX, LAYOUT, MANIFEST_CAP, require_version
from occystrap_dir.destination import check_empty, check_folder, check_layout
from occystrap_dir.layout.index_file import IndexFile, read_index
from occystrap_dir.layout.recovery import has_receipts, recovered_index
from occystrap_dir.names import WrongKind, read_document
from occystrap_dir.workspace import STATE

_OTHERS = (
    'manifest.json', 'catalog.json', 'repositories', 'version', 'config.json', 'rootfs', 'mount.json', 'layers')


def check_destination(root: str) -> None:
    """Raise OutputError unless `root` is a layout, or a folder that can become one."""
    with writing(root):
        if check_folder(root):
            check_empty(root, (LAYOUT, STATE))
            check_layout(root, _OTHERS)
            has_version(root)
            current_index(root)


def has_version(root: str) -> bool:
    """Return whether the file `oci-layout` is as it must be; False if it is to be written.

    Raises OutputError for a layout of another version, or a damaged file that no run of ours wrote, and OSError.
    """
    try:
        raw = read_document(root, LAYOUT, MANIFEST_CAP)
        require_version(raw, root)
        return True
    except FileNotFoundError:
        return False
    except (InvalidImage, WrongKind) as error:
        if has_receipts(root):
            return False
        raise OutputError(f'{error}: name another folder') from None


def current_index(root: str) -> IndexFile:
    """Return the index.json of a layout, an empty one where there is none; what is lost is made again from receipts.

    Raises OutputError for a damaged one that no run of ours wrote, and OSError.
    """
    try:
        return read_index(root)
    except FileNotFoundError:
        return recovered_index(root)
    except InvalidImage as error:
        if has_receipts(root):
            return recovered_index(root)
        raise OutputError(f'{error}: repair {INDEX} or name another folder') from None
