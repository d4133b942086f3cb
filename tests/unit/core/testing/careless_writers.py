"""Writers as a hurried author makes them: the example plugin, changed in one place."""
import json
import os
import secrets
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from occystrap_flat.writer import CONFIG, FlatOutput

from occystrap_core import Image, Location, OutgoingLayer, Receipt, Settings, WrittenImage, WrittenLayer
from occystrap_core.oci import Digest


class SharesAnAttribute(FlatOutput):
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        with layer.open() as stream:
            self._name = secrets.token_hex(8)
            with open(f'{self._partial}/{self._name}', 'xb') as self._file:
                for chunk in stream.chunks():
                    self._file.write(chunk)
                self._flush(self._file)
        return WrittenLayer(self._name)


class SharesAnAttributeOfItsClass(FlatOutput):
    files: dict[Digest, str] = {}

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        written = super().write_layer(layer)
        self.files[layer.diff_id or Digest.of(b'')] = written.locator
        return WrittenLayer(f'{written.locator}.tar')

    def finalize(self, image: WrittenImage) -> Receipt:
        for layer in image.layers:
            os.replace(f'{self._partial}/{self.files[layer.diff_id]}', f'{self._partial}/{layer.locator}')
        return super().finalize(image)


class KeepsChunks(FlatOutput):
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        name = secrets.token_hex(8)
        with layer.open() as stream, open(f'{self._partial}/{name}', 'xb') as file:
            file.writelines([*stream.chunks()])
            self._flush(file)
        return WrittenLayer(name)


class ListsLayersAsTheyArrive(FlatOutput):
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        written = super().write_layer(layer)
        with open(f'{self._partial}/list', 'a') as file:
            file.write(f'{layer.index}\n')
        return written

    def finalize(self, image: WrittenImage) -> Receipt:
        os.replace(f'{self._partial}/list', f'{self._root}/list')
        return super().finalize(image)


class TakesWhatIsThere(FlatOutput):
    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        name = secrets.token_hex(8)
        if layer.diff_id is None or not os.path.exists(path := f'{self._root}/{layer.diff_id.hex}.tar'):
            return None
        os.link(path, f'{self._partial}/{name}')
        return WrittenLayer(name, layer.diff_id, layer.tar_size() or os.path.getsize(path))


class WritesToTemporaryDirectory(FlatOutput):
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        descriptor, path = tempfile.mkstemp()
        with layer.open() as stream, open(descriptor, 'wb') as file:
            os.chmod(path, 0o644)
            file.writelines(stream.chunks())
            self._flush(file)
        shutil.move(path, self._partial)
        return WrittenLayer(os.path.basename(path))


class MakesFilesForItsUserAlone(FlatOutput):
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        descriptor, path = tempfile.mkstemp(dir=self._partial)
        with layer.open() as stream, open(descriptor, 'wb') as file:
            file.writelines(stream.chunks())
            self._flush(file)
        return WrittenLayer(os.path.basename(path))


class WritesItsConfigInPlace(FlatOutput):
    def finalize(self, image: WrittenImage) -> Receipt:
        receipt = super().finalize(image)
        with open(f'{self._root}/{CONFIG}', 'wb') as file:
            file.write(image.config.raw)
            self._flush(file)
        return receipt


class ReadsLayersTwice(FlatOutput):
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        with layer.open() as stream:
            stream.drain()
        return super().write_layer(layer)


class KeepsItsOptions(FlatOutput):
    def finalize(self, image: WrittenImage) -> Receipt:
        receipt = super().finalize(image)
        Path(self._root, 'options').write_text(json.dumps(dict(self.location.options)))
        return receipt


class MakesDirectoriesAbove(FlatOutput):
    def prepare(self, image: Image) -> None:
        os.makedirs(os.path.dirname(self._root), exist_ok=True)
        super().prepare(image)


class UnescapesItsPath(FlatOutput):
    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location.with_path(unquote(location.path)), settings)


class ExpectsAbsolutePaths(FlatOutput):
    def finalize(self, image: WrittenImage) -> Receipt:
        receipt = super().finalize(image)
        absolute = [each._replace(locator=f'{self._root}/{each.locator}') for each in receipt.expectations]
        return replace(receipt, expectations=tuple(absolute))


class PrintsWhatItWrites(FlatOutput):
    def prepare(self, image: Image) -> None:
        super().prepare(image)
        print(f'writing {self._root}')


class WorksInItsDirectory(FlatOutput):
    def prepare(self, image: Image) -> None:
        super().prepare(image)
        os.chdir(self._root)


class LeavesFilesOpen(FlatOutput):
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        written = super().write_layer(layer)
        os.open(f'{self._partial}/{written.locator}', os.O_RDONLY)
        return written


class KeepsItsLockWhenItFails(FlatOutput):
    def _unlock(self) -> None:
        self._lock = None


class RemovesItsDirectoryWithAllInIt(FlatOutput):
    def abort(self) -> None:
        super().abort()
        if self._made_root:
            shutil.rmtree(self._root, ignore_errors=True)


class WritesInADryRun(FlatOutput):
    def require_possible(self, content: object) -> None:
        os.makedirs(self._root, exist_ok=True)
