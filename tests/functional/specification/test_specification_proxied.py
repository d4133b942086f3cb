"""What the specification says about a registry, through a proxy: the cases of manifests, tags, referrers and deletion.

Left out are those in which a proxy does otherwise: a blob can be pulled when an image has it, and not be deleted, and
an image must be one.
"""
from collections.abc import Iterator, Sequence

import httpx
import pytest

from occystrap_core.oci import ALGORITHMS
from tests.services.proxied import proxied
from tests.services.requirements import EVERYTHING
from tests.unit.registry.server.test_specification import CASES, Ask, Terms, check

NO_IMAGES = ('push: layers that are elsewhere', 'push: no layers')
BY_SHA256 = ('delete: a manifest, with its tags', 'delete: a deleted manifest once more')
"""Downstream a tag means the sha256 of its bytes, and outlives another digest of them."""


def is_about_images(requests: Sequence[Ask]) -> bool:
    """Return whether a case needs the proxy's own requests, and neither pulls nor deletes blobs."""
    of_blobs = [each for each in requests if '/blobs/' in each.path and '/uploads' not in each.path]
    return any('/blobs/' not in each.path for each in requests) and all(
        each.method == 'HEAD' and not each.sends or each.method == 'GET' and each.status == 404 for each in of_blobs)


PAIRS = [(case, algorithm) for case, asks in CASES.items() for algorithm in ALGORITHMS
         if is_about_images(asks) and case not in NO_IMAGES and (algorithm == 'sha256' or case not in BY_SHA256)]
CHOSEN = PAIRS if EVERYTHING else [pair for number, pair in enumerate(PAIRS) if number % 4 in (0, 3)]
"""Of most cases one algorithm, the other one of the next: the server itself is asked all of them."""


@pytest.fixture(scope='module')
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a proxy that all cases share; each has a repository of its own."""
    with proxied(tmp_path_factory.mktemp('proxied'), deletes=True) as proxy:
        with httpx.Client(base_url=f'http://{proxy.host}', trust_env=False, timeout=60) as connected:
            yield connected


@pytest.mark.parametrize(('case', 'algorithm'), CHOSEN)
def test_the_specification(case: str, algorithm: str, client: httpx.Client) -> None:
    terms = Terms(f'r{list(CASES).index(case):03}/{algorithm}', algorithm)
    for request in CASES[case]:
        check(client, request, terms)
