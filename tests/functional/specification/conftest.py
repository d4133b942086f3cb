from tests.unit.registry.conftest import alone

__all__ = ['alone']
