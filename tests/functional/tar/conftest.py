from tests.functional.docker.conftest import containerd_daemon

__all__ = ['containerd_daemon']
