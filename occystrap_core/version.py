"""The one version of all five distributions; every pyproject.toml reads it from here."""
__version__ = '0.1.0'
