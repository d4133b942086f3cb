"""The sixty images, and an empty registry to copy them to."""
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import require_service
from tests.services.registry import Registry
from tests.services.sixty_images import SixtyImages, sixty_images


@pytest.fixture(scope='session')
def sixty() -> Iterator[SixtyImages]:
    """The images, in a registry that all tests here share; never push to it."""
    with require_service(sixty_images) as service:
        yield service


@pytest.fixture
def destination(registry_factory: Callable[..., Registry]) -> Registry:
    """An empty registry for one test."""
    return registry_factory()
