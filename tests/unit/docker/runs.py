"""What the tests share: moving sample images into and out of a fake daemon the way the core does."""
from dataclasses import replace
from pathlib import Path

from occystrap_core import CheckResults, Image, ImageOutput, Location, Receipt, Settings, VerifyLevel
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.judge import judge
from occystrap_docker.input import DockerInput
from occystrap_docker.plugin import verify_output
from occystrap_docker.push.input import DockerPushInput
from occystrap_docker.writer import DockerWriter
from tests.unit.docker.fake_daemon import FakeDaemon

SETTINGS = Settings(sync=False, timeout=0.3)


def at(daemon: FakeDaemon | str, name: str) -> Location:
    """A location in the daemon at this socket."""
    socket = daemon if isinstance(daemon, str) else str(daemon.socket)
    return Location('docker', name, {'socket': socket}, {'socket': socket})


def source(daemon: FakeDaemon | str, name: str = 'sample:v1', settings: Settings = SETTINGS) -> Image:
    """Open an image of the daemon."""
    images = DockerInput(at(daemon, name), settings)
    return images.open(next(iter(images.references())))


def pushed(daemon: FakeDaemon | str, temporary: Path, name: str = 'sample:v1', fallback: bool = False,
           settings: Settings = SETTINGS) -> Image:
    """Open an image that the daemon is to push."""
    location = Location('dockerpush', name, {**at(daemon, name).options, 'fallback': fallback}, {})
    images = DockerPushInput(location, replace(settings, temporary=str(temporary)))
    return images.open(next(iter(images.references())))


def read(image: Image) -> dict[str, int]:
    """Read all that arrives; return the layers' sizes by diff_id."""
    sizes = {}
    with image:
        for layer in image.arrivals():
            with layer.tar() as tar:
                digest = tar.drain()
            sizes[str(digest)] = tar.size
    return sizes


def write(daemon: FakeDaemon, temporary: Path, image: Image | None = None, name: str = 'team/sample:v1') -> Receipt:
    """Copy an image into the daemon."""
    settings = Settings(sync=False, timeout=0.3, temporary=str(temporary))
    output: ImageOutput = DockerWriter(at(daemon, name), settings)
    return ImageCopy(image or sample_image(), output, settings, 'sample').run()


def findings(receipt: Receipt, level: VerifyLevel) -> list[str]:
    """What the verifier says, a line each."""
    results = verify_output(receipt, level, SETTINGS)
    assert isinstance(results, CheckResults)
    verdict = judge(receipt, level, results, reports_only=True)
    return [f'{each.severity.value} {each}' for each in verdict.problems]
