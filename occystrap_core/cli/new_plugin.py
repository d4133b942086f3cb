"""The command `plugins new`: makes the project of a plugin, which passes its tests as it is."""
import os
import re
import shutil
from collections.abc import Mapping

import click

from occystrap_core.api.schemes import InputScheme, WriterScheme
from occystrap_core.cli.common import load_plugins
from occystrap_core.errors import OutputError, UsageError
from occystrap_core.files.durability import output_errors
from occystrap_core.plugins.manager import OFFICIAL, Plugin, Plugins
from occystrap_core.terminal import print_lines
from occystrap_core.version import __version__

_NAME = re.compile(r'[a-z][a-z0-9]*(-[a-z0-9]+)*')
_LONGEST = 40
_FILES = {
    'pyproject.toml': 'pyproject.toml', 'README.md': 'README.md', '.flake8': 'flake8', '.gitignore': 'gitignore',
    '.github/workflows/test.yml': 'test.yml', 'tests/test_conformance.py': 'test_conformance.py',
    **{f'occystrap_@MODULE@/{name}': name
       for name in ('__init__.py', 'plugin.py', 'writer.py', 'verifier.py', 'py.typed')}}
"""The files of a project, each with the template that it is made from."""


@click.command('new', short_help='Make the project of a plugin.')
@click.argument('name')
@click.pass_context
def new(context: click.Context, name: str) -> None:
    """Make the directory occystrap-NAME with the project of a plugin: a writer of NAME://PATH, its verifier, tests.

    NAME is that of the scheme. The project passes its own tests, so that you can change it step by step.

    \b
    occystrap plugins new zip
    cd occystrap-zip && pip install -e '.[test]' && pytest
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(f'{name!r} cannot be the name of a scheme: use lower-case letters, digits and single hyphens, '
                         f'the first a letter, at most {_LONGEST} of them, such as zip')
    _require_free(load_plugins(context, warn=False), name)
    directory = f'occystrap-{name}'
    make_project(directory, name)
    print_lines([f'{directory} has a writer of {name}://, its verifier, and tests; now: cd {directory} && '
                 "pip install -e '.[test]' && pytest"])


def _require_free(plugins: Plugins, name: str) -> None:
    """Raise UsageError if an installed plugin has a scheme of this name, or a distribution has the project's name."""
    declared: list[tuple[Plugin, InputScheme | WriterScheme]] = [
        *plugins.declared(InputScheme), *plugins.declared(WriterScheme)]
    for plugin, each in declared:
        if name in (each.name, *each.aliases):
            raise UsageError(f'{name}:// is there already, in {plugin}: choose another name')
    official = {each for schemes in OFFICIAL.values() for each in schemes.values()}
    if f'occystrap-{name}' in {'occystrap-core', *official, *(each.distribution for each in plugins.all)}:
        raise UsageError(f'occystrap-{name} is a distribution already, which a plugin of this name would replace: '
                         'choose another name')


def make_project(directory: str, name: str) -> None:
    """Make a project in a directory, which must not exist; raises OutputError, and leaves nothing then."""
    if os.path.lexists(directory):
        raise OutputError(f'{directory} is there already: remove it, or choose another name')
    with output_errors(directory):
        os.mkdir(directory)
        try:
            _write_files(directory, _fields(name))
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise


def _fields(name: str) -> dict[str, str]:
    """Return the values of the fields in the templates."""
    return {'NAME': name, 'MODULE': name.replace('-', '_'), 'CLASS': name.title().replace('-', ''),
            'VERSION': __version__}


def _write_files(directory: str, fields: Mapping[str, str]) -> None:
    from importlib.resources import files  # late, as lists of plugins need none
    templates = files('occystrap_core.cli').joinpath('plugin_template')
    for path, template in _FILES.items():
        target = os.path.join(directory, _filled(path, fields))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, 'x', encoding='utf-8') as file:
            file.write(_filled(templates.joinpath(f'{template}.txt').read_text('utf-8'), fields))


def _filled(text: str, fields: Mapping[str, str]) -> str:
    return re.sub('@([A-Z]+)@', lambda found: fields[found[1]], text)
