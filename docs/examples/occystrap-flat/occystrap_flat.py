"""flat://PATH, a whole plugin: layers as NN-DIGEST.tar beside config.json in one new directory, and the proof of it."""
import os
import secrets
import shutil

from occystrap_core import (
    READ, CheckResults, Expectation, Image, ImageOutput, Location, OutgoingLayer, OutputError, Receipt, Settings,
    VerifyLevel, WriterScheme, WrittenImage, WrittenLayer, hookimpl,
)
from occystrap_core.files import hash_file


class FlatOutput(ImageOutput):  # it says nothing of `layer_form`, so it is given uncompressed tars
    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location.with_path(os.path.abspath(location.path)), settings)
        self._final, self._partial = self.location.path, f'{self.location.path}.{os.getpid()}.partial'

    def prepare(self, image: Image) -> None:  # the time to refuse: nothing has been read
        if os.path.lexists(self._final) and not os.path.isfile(f'{self._final}/config.json'):
            raise OutputError(f'{self._final} is there and holds no flat image: name another directory')
        os.makedirs(self._partial)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:  # called for several layers at once
        with layer.open() as stream, open(f'{self._partial}/{secrets.token_hex(8)}', 'xb') as file:
            file.writelines(stream.chunks())
        return WrittenLayer(os.path.basename(file.name))  # a layer may learn its index and digest only at its end

    def finalize(self, image: WrittenImage) -> Receipt:
        with open(f'{self._partial}/config.json', 'wb') as file:
            file.write(image.config.raw)
        names = {layer.locator: f'{layer.index:02}-{layer.digest.hex[:12]}.tar' for layer in image.layers}
        for locator, name in names.items():
            os.rename(f'{self._partial}/{locator}', f'{self._partial}/{name}')
        shutil.rmtree(self._final, ignore_errors=True)  # an earlier image
        os.rename(self._partial, self._final)  # now it can be seen, and is whole
        config = Expectation('config', 'config.json', image.config.digest, len(image.config.raw))
        return image.receipt(self.location, [config], locate=lambda layer: names[layer.locator])

    def abort(self) -> None:  # after an error or a signal
        shutil.rmtree(self._partial, ignore_errors=True)


@hookimpl
def register_writers() -> list[WriterScheme]:
    return [WriterScheme('flat', 'occystrap_flat:FlatOutput', help='layers as numbered files in one directory')]


@hookimpl
def verify_output(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
    if receipt.scheme != 'flat':
        return None
    results = CheckResults()
    for expected in receipt.expectations:
        path = os.path.join(receipt.path, expected.locator)
        if not os.path.isfile(path):
            results.missing(expected)
        else:
            digest = hash_file(path)[0] if level is VerifyLevel.FULL or expected.kind == 'config' else None
            results.found(expected, size=os.path.getsize(path), digest=digest, evidence=READ)
    return results
