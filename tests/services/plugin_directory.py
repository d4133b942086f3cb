"""A plugin of a test's own, installed in a directory for PYTHONPATH."""
from pathlib import Path


def plugin_directory(directory: Path, name: str, code: str) -> Path:
    """Put a module `NAME_plugin` into a distribution of its own below a directory, and return that."""
    information = directory / f'{name}_plugin-1.0.dist-info'
    information.mkdir(parents=True)
    (directory / f'{name}_plugin.py').write_text(code)
    (information / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n')
    (information / 'entry_points.txt').write_text(f'[occystrap]\n{name} = {name}_plugin\n')
    return directory
