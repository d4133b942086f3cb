"""The one version of all seven distributions; every pyproject.toml reads it from here."""
__version__ = '0.1.0'
