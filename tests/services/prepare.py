"""`python -m tests.services.prepare`: builds what the tests cache, ahead of them, and says so."""

import time

from tests.services.cache import cache_directory
from tests.services.localstack import localstack_environment
from tests.services.real_image import real_image
from tests.services.requirements import ServiceUnavailable
from tests.services.trixie import trixie_root

BUILDS = (
    ('LocalStack', localstack_environment, 'about 1 minute'),
    ('Debian 13 with Docker 26', trixie_root, 'about 1 minute'),
    ('the real image', real_image, 'one to two minutes'),
)


def main() -> None:
    """Builds what is missing; what cannot be built is said in one line, and the tests that need it say so again."""
    for what, build, duration in BUILDS:
        print(f'{what} in {cache_directory()}: built once, takes {duration}', flush=True)
        started = time.monotonic()
        try:
            build()
            print(f'{what}: ready after {time.monotonic() - started:.0f} s', flush=True)
        except ServiceUnavailable as reason:
            print(f'{what}: not here: {reason}', flush=True)


if __name__ == '__main__':
    main()
