"""Checks whether images may be written to a layout, made before anything is downloaded, and what it lists."""
from occystrap_core import InvalidImage, OutputError
from occystrap_core.files import output_errors
from occystrap_core.oci import BLOB_DIRECTORIES, INDEX_FILE, LAYOUT_FILE, MANIFEST_CAP, IndexFile, require_version
from occystrap_dir.layout.index_file import read_index
from occystrap_dir.layout.recovery import has_receipts
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.destination import check_directory, check_empty, check_layout, not_replaced
from occystrap_dir.workspace.names import read_document
from occystrap_dir.workspace.one_name import WrongKind
from occystrap_dir.workspace.partial_files import STATE
from occystrap_dir.workspace.run_marks import was_left

_OTHERS = (
    'manifest.json', 'catalog.json', 'repositories', 'version', 'config.json', 'rootfs', 'mount.json', 'layers')


def check_destination(root: str, rebuild: bool) -> IndexFile:
    """Return the index.json of `root`; raises OutputError unless it is a layout, or a directory that can become one.

    With `rebuild` its index.json may be damaged.
    """
    with output_errors(root):
        if check_directory(root):
            check_empty(root, (LAYOUT_FILE, STATE))
            check_layout(root, _OTHERS)
            has_version(root)
            return (current_index(root) or IndexFile.empty()) if rebuild else require_index(root)
    return IndexFile.empty()


def has_version(root: str) -> bool:
    """Return whether the file `oci-layout` has the right version, False if it must be written.

    Raises OutputError for a layout of another version, or a damaged file that this program did not write, and OSError.
    """
    try:
        raw = read_document(root, LAYOUT_FILE, MANIFEST_CAP)
        require_version(raw, root)
        return True
    except FileNotFoundError:
        return False
    except (InvalidImage, WrongKind) as error:
        if has_receipts(root):
            return False
        problem = f'{root}/{LAYOUT_FILE} {error}' if isinstance(error, WrongKind) else str(error)
        raise OutputError(f'{problem}: choose another directory') from None


def current_index(root: str) -> IndexFile | None:
    """Return the index.json of a layout, an empty one for a new layout, None if it is missing or damaged.

    Raises OSError.
    """
    missing = not Beneath(root).status(INDEX_FILE) and (
        has_receipts(root) or any(was_left(root, name) for name in BLOB_DIRECTORIES))
    try:
        return read_index(root)  # read last: a run that ends meanwhile writes it before the rest becomes visible
    except FileNotFoundError:
        return None if missing else IndexFile.empty()
    except InvalidImage:
        return None


def require_index(root: str) -> IndexFile:
    """Return the index.json of a layout; raises OutputError if it is damaged or missing, OSError."""
    index = current_index(root)
    if index is None:
        damage = f'{root}/{INDEX_FILE} is missing, but the directory has images'
        try:
            read_index(root)
        except InvalidImage as error:
            damage = str(error)
        except FileNotFoundError:
            pass
        raise not_replaced(damage, 'the names of their images are lost')
    return index
