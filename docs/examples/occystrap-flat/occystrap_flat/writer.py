"""Writing flat://PATH: a directory with config.json, and the tar of each layer named by its digest."""
import fcntl
import os
import re
import secrets
import shutil
from contextlib import suppress
from functools import partial
from typing import BinaryIO

from occystrap_core import (
    Expectation, Image, ImageIndex, ImageOutput, InvalidImage, Location, OutgoingLayer, OutputError, Place, Receipt,
    Settings, WrittenImage, WrittenLayer,
)
from occystrap_core.files import lock_if_current, sync_directory
from occystrap_core.oci import ImageConfig, Reference

CONFIG = 'config.json'
_LAYER = re.compile(r'[0-9a-f]{64}\.tar')
_PARTIAL = re.compile(r'\.flat-[0-9a-f]{16}\.partial')


class FlatOutput(ImageOutput):
    """Writes one image. It leaves `layer_form` as it is, so it gets uncompressed tars."""

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location.with_path(Place.absolute(location.path)), settings)  # the receipt keeps this path
        self._root = self.location.path
        self._partial = f'{self._root}/.flat-{secrets.token_hex(8)}.partial'
        self._lock: int | None = None
        self._made_root = False
        self._new: list[str] = []

    def place(self, reference: Reference) -> Place:
        """Return the directory, which holds one image, whatever its name."""
        return Place.at(self._root)

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Refuse what is not ours, also in a dry run: nothing has been read yet."""
        if os.path.islink(self._root) or os.path.isfile(self._root):
            raise OutputError(f'{self._root} is no directory: name another place')
        if not os.path.isdir(above := os.path.dirname(self._root)):  # its medium may not be mounted
            raise OutputError(f'there is no directory {above}: create it first')
        present = os.listdir(self._root) if os.path.isdir(self._root) else []
        if {*present} - {*self._abandoned()} and not self._holds_image():
            raise OutputError(f'{self._root} is there and holds no image of this format: name another directory')

    def prepare(self, image: Image) -> None:
        """Make a temporary directory in the image's, after removing what killed runs left there."""
        self.require_possible(image)
        self._made_root = not os.path.isdir(self._root)
        os.makedirs(self._root, exist_ok=True)
        self._take_lock()
        self.require_possible(image)  # another run may have ended since the first look
        for name in self._abandoned() if self._lock is not None else ():
            self._remove(name)
        os.mkdir(self._partial)

    def _take_lock(self) -> None:
        """Lock the directory until the run has ended, however it ends; file systems without locks do without."""
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._lock = lock_if_current(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, partial(os.lstat, self._root))
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError:
            return
        if self._lock is None:
            self._made_root = False  # it is the other run's now
            raise OutputError(f'another run is at work in {self._root}: wait until it has ended')

    def _abandoned(self) -> list[str]:
        """Return the names of what killed runs left, if no other run has the lock: layers without an image, if they got
        their names, and the temporary directories that tell of them."""
        with suppress(FileNotFoundError, NotADirectoryError):
            present = [*os.scandir(self._root)]
            left = [entry.name for entry in present
                    if _PARTIAL.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
                    and not os.path.isdir(f'{entry.path}/{CONFIG}')]  # such a one is somebody else's
            layers = {entry.name for entry in present if entry.is_file(follow_symlinks=False)}
            layers &= {name for each in left for name in _layers_of(f'{self._root}/{each}/{CONFIG}') or ()}
            kept = _layers_of(f'{self._root}/{CONFIG}')
            return [*(layers - kept if kept is not None else ()), *left]
        return []

    def _remove(self, name: str) -> None:
        """Remove a layer or a temporary directory, if it is there."""
        with suppress(FileNotFoundError):
            if _LAYER.fullmatch(name):
                os.unlink(f'{self._root}/{name}')
            else:
                shutil.rmtree(f'{self._root}/{name}')

    def _holds_image(self) -> bool:
        """Return whether the directory has the config of an image, and no other config.json."""
        try:
            with open(f'{self._root}/{CONFIG}', 'rb') as file:
                return b'"diff_ids"' in file.read()
        except (FileNotFoundError, IsADirectoryError):
            return False

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Write one layer under a name of its own; called for several layers at once."""
        name = secrets.token_hex(8)  # a layer may learn its index and its digest only at its end
        with layer.open() as stream, open(f'{self._partial}/{name}', 'xb') as file:
            file.writelines(stream.chunks())  # at the end, the stream checks size and digest
            self._flush(file)
        return WrittenLayer(name)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Name the layers, then make the image visible by renaming its config, then remove the image before it."""
        with open(f'{self._partial}/{CONFIG}', 'xb') as file:
            file.write(image.config.raw)
            self._flush(file)
        names = {layer.locator: f'{layer.digest.hex}.tar' for layer in image.layers}
        for locator, name in names.items():
            if not os.path.lexists(f'{self._root}/{name}'):
                self._new.append(name)
            os.replace(f'{self._partial}/{locator}', f'{self._root}/{name}')
        self._flush_names()
        os.replace(f'{self._partial}/{CONFIG}', f'{self._root}/{CONFIG}')
        self._new = []  # from here on they belong to an image
        self._flush_names()
        self._remove_all_but({*names.values()})
        self._unlock()
        config = Expectation('config', CONFIG, image.config.digest, len(image.config.raw))
        return image.receipt(self.location, [config], locate=lambda layer: names[layer.locator])

    def abort(self) -> None:
        """Remove what is not part of an image, after an error or a signal."""
        shutil.rmtree(self._partial, ignore_errors=True)
        for name in self._new:
            self._remove(name)
        if self._made_root:
            with suppress(OSError):  # somebody else may have put something there
                os.rmdir(self._root)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _flush(self, file: BinaryIO) -> None:
        if self.settings.sync:  # no name may be visible before what it names is on the device
            file.flush()
            os.fsync(file.fileno())

    def _flush_names(self) -> None:
        if self.settings.sync:
            sync_directory(self._root)

    def _remove_all_but(self, names: set[str]) -> None:
        """Remove the temporary directory and the layers of an earlier image."""
        shutil.rmtree(self._partial, ignore_errors=True)
        for entry in [*os.scandir(self._root)]:
            if _LAYER.fullmatch(entry.name) and entry.name not in names and entry.is_file(follow_symlinks=False):
                os.unlink(entry.path)


def _layers_of(config: str) -> set[str] | None:
    """Return the names of the layers that the config in a file lists; None if it is incomplete or cannot be read."""
    try:
        with open(config, 'rb') as file:
            return {f'{diff_id.hex}.tar' for diff_id in ImageConfig.parse(file.read()).diff_ids}
    except FileNotFoundError:
        return set()
    except (InvalidImage, OSError):
        return None
