"""The set of images that these tests mirror: small, or with OCCYSTRAP_TEST_MANY=200 the whole."""
import os
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import require_service
from tests.services.command_line import CommandLine
from tests.services.many_images import ManyImages, many_images, many_registry
from tests.services.registry import Registry

COUNT = int(os.environ.get('OCCYSTRAP_TEST_MANY', '20'))


@pytest.fixture(scope='session')
def many() -> ManyImages:
    """What there is to mirror; shared by all runs: never change it."""
    return many_images(COUNT)


@pytest.fixture(scope='session')
def many_source() -> Iterator[Registry]:
    """A registry that serves the set; never push to it."""
    with require_service(lambda: many_registry(COUNT)) as registry:
        yield registry


@pytest.fixture
def destination(registry_factory: Callable[..., Registry]) -> Registry:
    """An empty registry for one test."""
    return registry_factory()


@pytest.fixture
def listed(many: ManyImages, occystrap: CommandLine) -> Callable[..., str]:
    """Writes the list of images as they are at a host, and returns the source: `listed(proxy.host)`."""
    def write(host: str) -> str:
        (occystrap.directory / 'images.txt').write_text(many.list_for(host))
        return 'list://images.txt'
    return write
