"""Makes docs/api.md from the five public modules and their docstrings: `python tools/api_reference.py`."""
import ast
import enum
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from occystrap_core.lazy_exports import home_of

TARGET = Path(__file__).parent.parent / 'docs/api.md'
MODULES = ('occystrap_core', *(f'occystrap_core.{name}' for name in ('oci', 'tar', 'files', 'orders')))

_HEAD = """# Public API

Made by `tools/api_reference.py` from the docstrings; change those, not this page.

Plugins, and programs that copy images, import these five modules; everything else may change at any time.
`docs/plugins.md` shows them at work. `occystrap_core.testing` has what plugins are tested with. What is listed without
parentheses is an attribute or a property, not a method.

Where to begin:
"""
_BEGINNINGS = {
    'a writer': 'ImageOutput WriterScheme OutgoingLayer WrittenLayer WrittenImage Expectation Receipt Place '
                'OutputError',
    'a verifier': 'CheckResults VerifyLevel Receipt Expectation',
    'an input': 'ImageInput InputScheme Image StoredLayer TarLayer BlobStore IndexReader ImageNotFound InvalidImage',
    'a filter': 'EntryFilter ImageFilter FilterKind',
    'every one of them': 'hookimpl Option OptionType Location Settings UsageError'}


def reference() -> str:
    """Return the page."""
    return '\n'.join([_HEAD, *_beginnings(), *(line for name in MODULES
                                               for line in _module(importlib.import_module(name)))])


def names_of(module: ModuleType) -> list[str]:
    """Return the public names of a module, classes and exceptions first as they are sorted there."""
    return [name for name in module.__all__ if not name.startswith('__')]


def _beginnings() -> Iterator[str]:
    listed = {name for module in MODULES for name in names_of(importlib.import_module(module))}
    for role, names in _BEGINNINGS.items():
        assert listed.issuperset(names.split()), f'{role} needs a name that is not public'
        yield f'- {role} needs {", ".join(f"[`{name}`](#{name.lower()})" for name in names.split())}'
    yield ''


def _module(module: ModuleType) -> Iterator[str]:
    yield from (f'## {module.__name__}', '', _text(module), '')
    for name in names_of(module):
        yield from _entry(module, name, getattr(module, name))


def _entry(module: ModuleType, name: str, found: Any) -> Iterator[str]:
    yield from (f'### {name}', '')
    if inspect.isclass(found):
        yield from _class(found)
    elif inspect.isfunction(found):
        yield from _code(f'def {name}{_signature(found)}')
        yield from (_text(found), '')
    elif not inspect.ismodule(found) and (said := _attribute_text(module, name)):
        yield from (said, '')
    else:
        yield from _code(f'{name}: {type(found).__name__}' if not inspect.ismodule(found) else f'module {name}')


def _class(found: type[Any]) -> Iterator[str]:
    bases = ', '.join(base.__name__ for base in found.__bases__ if base is not object and base not in _private(found))
    yield from _code(f'class {found.__name__}({bases})' if bases else f'class {found.__name__}', _constructor(found))
    yield from (_text(found), '')
    if issubclass(found, enum.Enum):
        yield from (', '.join(f'`{each.name}`' for each in found), '')
    for name, text in _attributes(found).items():
        yield f'- **`{name}`** {text}'
    members = {name: member for each in (*_private(found), found) for name, member in vars(each).items()}
    for name, member in members.items():
        if not name.startswith('_') and (function := _function(member)) and inspect.getdoc(function):
            signature = '' if isinstance(member, property | cached_property) else _signature(function)
            yield f'- **`{name}{signature}`** {_text(function, " ")}'
    yield ''


def _private(found: type[Any]) -> list[type[Any]]:
    """Return the classes of core below a class that are not listed themselves: what they have is the class's own."""
    listed = {getattr(module, name) for module in map(importlib.import_module, MODULES) for name in names_of(module)
              if isinstance(getattr(module, name), type)}
    return [each for each in found.__mro__[:0:-1]
            if each.__module__.startswith('occystrap_core.') and each not in listed]


def _attributes(found: type[Any]) -> dict[str, str]:
    """Return the attributes of a class that have a text below them, with their default value and that text."""
    body = ast.parse(textwrap.dedent(inspect.getsource(found))).body[0]
    assert isinstance(body, ast.ClassDef)
    texts = {}
    for before, after in zip(body.body, body.body[1:]):
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            text = ' '.join(after.value.value.split())
            if isinstance(before, ast.Assign):
                texts[ast.unparse(before).replace("'", '')] = text
            elif isinstance(before, ast.AnnAssign):
                texts[ast.unparse(before.target)] = text
    return {name: text for name, text in texts.items() if not name.startswith('_')}


def _constructor(found: type[Any]) -> str:
    if issubclass(found, enum.Enum | BaseException) or inspect.isabstract(found) and '__init__' not in vars(found):
        return ''
    try:
        return f'{found.__name__}{_signature(found)}'
    except (TypeError, ValueError):
        return ''


def _function(member: Any) -> Any:
    if isinstance(member, property):
        return member.fget
    if isinstance(member, cached_property):
        return member.func
    member = member.__func__ if isinstance(member, classmethod | staticmethod) else member
    return member if inspect.isfunction(member) else None


def _signature(function: Any) -> str:
    text = re.sub(r"<[\w.]+: '(\w+)'>", r'\1', str(inspect.signature(function)))
    text = re.sub(r'<(?:[^<>]|<\w+>)*>', '…', text).replace("''", '""').replace("'", '')
    text = re.sub(r'\b(?:[a-z_]\w*\.)+(?=[A-Z])', '', text)
    return re.sub(r'Union\[(\w+), (\w+)\]', r'\1 | \2', re.sub(r'ForwardRef\(([^()]*)\)', r'\1', text))


def _text(thing: Any, separator: str = '\n') -> str:
    """Return a docstring; `separator` joins its lines."""
    return separator.join(line.strip() for line in (inspect.getdoc(thing) or '').split('\n'))


def _attribute_text(module: ModuleType, name: str) -> str:
    """Return what stands below an assignment in the module that makes it, if anything does."""
    home = importlib.import_module(home_of(module.__name__, name))
    _, _, behind = inspect.getsource(home).partition(f'\n{name} =')
    line, _, rest = behind.partition('\n')
    said = rest.split('"""', 2)[1] if rest.startswith('"""') else ''
    value = getattr(module, name)
    shown = f'bytes({len(value)})' if isinstance(value, bytes) and not any(value) else repr(value)
    if ' at 0x' in shown:
        return said or 'Makes a function a hook of a plugin (pluggy).'
    return f'`{shown}` {said}'.strip()


def _code(*lines: str) -> Iterator[str]:
    yield from ('```python', *(line for line in lines if line), '```', '')


def main() -> int:
    """Write the page."""
    TARGET.write_text(reference())
    return 0


if __name__ == '__main__':
    sys.exit(main())
