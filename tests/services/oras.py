"""oras, which Debian 12 does not have: the program of Debian 13, which runs on both."""

from pathlib import Path

from tests.services.trixie import trixie_program

VERSION = '1'


def oras_program() -> Path:
    """The path of the cached program, fetched by the first who asks (seconds, once Debian 13 is there)."""
    return trixie_program('oras', VERSION)
