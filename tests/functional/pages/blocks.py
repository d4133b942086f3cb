"""The commands of the pages, and what `pages.toml` says: what is there first, which are not run, and why."""
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')), *sorted((ROOT / 'plugins').glob('*/README.md'))]
GENERATED = ('command-reference.md', 'api.md')
BLOCK = re.compile(r'^```([^\n]*)\n(.*?)^```$|((?:^    [^\n]*\n)+)', re.MULTILINE | re.DOTALL)
NOT_COMMANDS = {'toml', 'yaml', 'python', 'json', 'text'}
"""The languages of blocks that hold no commands; those of any other are run."""
OUTPUT = ('Receipts: ', 'Summary: ', 'Serving ')
"""How all lines begin of a block without a language that is output."""
OWN_TEST = {('docs/air-gap.md', kind): 'tests/functional/test_air_gap.py' for kind in ('sh near', 'sh far')}


class Page(NamedTuple):
    """A page as `pages.toml` knows it: `services` are fixtures, `names` what stands for names of the page.

    `first` and `last` are commands before and after those of the page, `said` is in what all of them print, and
    `left_out` has the commands, whole lines but for their comments, that no test runs, each with its reason.
    """

    name: str
    services: tuple[str, ...] = ()
    names: dict[str, str] = {}
    first: str = ''
    last: str = ''
    said: tuple[str, ...] = ()
    left_out: dict[str, str] = {}

    def commands(self) -> Iterator[str]:
        """Yield the commands of each block, but for those that another test runs."""
        for kind, fenced, indented in BLOCK.findall((ROOT / self.name).read_text()):
            text = fenced or re.sub('^    ', '', indented, flags=re.MULTILINE)
            if (self.name, kind) not in OWN_TEST and (found := _commands_in(kind, text)):
                yield found

    def lines(self) -> list[str]:
        """Return the lines of all these commands."""
        return [line for block in self.commands() for line in block.splitlines()]

    def script(self) -> str:
        """Return what a test runs."""
        lines = [line for line in self.lines() if without_comment(line) not in self.left_out]
        return '\n'.join([self.first, *lines, self.last]) if ''.join(lines) else ''


def _commands_in(kind: str, text: str) -> str:
    text = re.sub(r' *\\\n\s*', ' ', text)
    if kind == 'sh user':
        return f"without_root <<'END'\n{text}END\n"
    if kind.partition(' ')[0] == 'sh':
        return text
    if kind == 'ini':
        return '\n'.join(re.findall(r'^Exec\w+=.*', text, re.MULTILINE))
    if kind in NOT_COMMANDS or not kind and all(line.startswith(OUTPUT) for line in text.splitlines()):
        return ''
    return '\n'.join(re.findall(r'^\$ (.*)', text, re.MULTILINE)) or text


def without_comment(line: str) -> str:
    """Return a line of a shell without the comment at its end."""
    return re.sub(r' +# .*', '', line)


@cache
def pages() -> dict[str, Page]:
    """Return all pages that are written by hand, by their paths."""
    known: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name('pages.toml').read_text())
    names = [str(path.relative_to(ROOT)) for path in PAGES if path.name not in GENERATED]
    assert known.keys() <= {*names}
    return {name: Page(name, **known.get(name, {})) for name in names}


def run_with(*services: str) -> list[str]:
    """Return the pages with commands to run whose tests share these services, or none that takes long to start."""
    slow = {'daemons', 'bucket'}
    return [name for name, page in pages().items() if page.script() and slow & {*page.services} == {*services}]
