from tests.unit.docker.conftest import daemon, directory

__all__ = ['daemon', 'directory']
