"""The pages of documentation: each command is read as the program would read it; `pages/` runs them."""
import html
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import jsonschema
import pytest

from occystrap_core import UsageError
from occystrap_core.api.options import read_options
from occystrap_core.api.schemes import ExecutorKind
from occystrap_core.api.uri import parse_filter
from occystrap_core.cli.common import Common
from occystrap_core.cli.group import occystrap as group
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import destination_location, open_filters, source_location
from occystrap_core.settings import Settings
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.functional.pages.blocks import BLOCK, GENERATED, PAGES, ROOT
from tests.hostile.in_process import run_here
from tests.services.installed import installed_plugins
from tests.services.registry import Registry
from tests.services.tiny_image import put_tiny_image


# Commands that are read

def commands_of(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of ours in the blocks of a page."""
    for kind, fenced, indented in BLOCK.findall(text):
        if kind.partition(' ')[0] not in ('', 'sh', 'ini', 'bash'):
            continue
        for line in re.sub(r'\\\n\s*', ' ', fenced or indented).splitlines():
            yield from _commands_in(line.strip().removeprefix('ExecStart='))


def _commands_in(line: str) -> Iterator[list[str]]:
    """Yield each command that begins with `occystrap`, itself or behind `$`, `!`, an operator, variables or ssh."""
    if not re.match(r'([$!] )?([A-Z_]+=\S+ )*(\S*/)?occystrap [a-z-]|.*(&&|\||;|do) *(ssh \S+ )?occystrap [a-z]',
                    line):
        return
    lexer = shlex.shlex(line, posix=True, punctuation_chars='|&;<>()')
    lexer.whitespace_split, lexer.commenters = True, '#'
    command: list[str] = []
    for word in [*lexer, ';']:
        if set(word) <= set('|&;<>()'):
            while command and not command[0].endswith('occystrap'):
                command.pop(0)
            if len(command) > 1:
                yield command[1:]
            command = []
        else:
            command.append(word)


def written(pages: list[Path]) -> Iterator[tuple[str, list[str]]]:
    for page in pages:
        if page.name not in GENERATED:
            for words in commands_of(page.read_text()):
                yield page.name, words


def parsed(words: list[str]) -> click.Context:
    """The command that the words mean, its options read and checked; nothing is run."""
    with click.Context(group, info_name='occystrap', obj=Common()) as context:
        group.parse_args(context, list(words))
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        assert command and name
        return command.make_context(name, rest, parent=context)


def require_meaning(plugins: Plugins, context: click.Context) -> None:
    """Raise UsageError unless schemes, their options, filters and executors exist."""
    given = context.params
    if context.info_name == 'process':
        several = given['source'].startswith(('list://', 'plan://'))
        source_location(plugins, given['source'])
        for each in given['destinations'] if not several or given['destinations'] != ('_',) else ():
            destination_location(plugins, each)
        open_filters(plugins, given['filters'], Settings())
        if given['executor']:
            name, options = parse_filter(given['executor'])
            read_options(plugins.find(ExecutorKind, name).options, options, name)
    elif context.info_name in ('info', 'search', 'check'):
        source_location(plugins, given['source'])
    elif context.info_name == 'verify' and given['at']:
        destination_location(plugins, given['at'])


def test_each_command_is_one_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ('registry.pem', 'registry.key', 'users'):
        (tmp_path / name).touch()
    write_docker_archive(tmp_path / 'app.tar', sample_config(), sample_layers(), 'app:v1')
    plugins, count = installed_plugins(), 0
    for page, words in written(PAGES):
        words = [word.replace('$S', 'registry.example').replace('$D', 'far.example') for word in words]
        if {'SOURCE', 'DEST', 'COMMAND', '…'} & set(words):
            stand_in = {'SOURCE': 'tar://a.tar', 'DEST': 'tar://b.tar', '…': 'tar://c.tar'}
            words = [stand_in.get(word, word) for word in words]
        try:
            with suppress(click.exceptions.Exit):  # of --help and --version
                require_meaning(plugins, parsed(words))
        except (click.ClickException, UsageError) as error:
            pytest.fail(f'{page}: occystrap {shlex.join(words)}: {error}')
        count += 1
    assert count > 120


# Reference pages

def test_every_variable_of_the_environment_is_on_its_page() -> None:
    page = (ROOT / 'docs/environment.md').read_text()
    found = set()
    for path in [*ROOT.glob('occystrap_core/**/*.py'), *ROOT.glob('plugins/**/*.py')]:
        text = path.read_text()
        found |= set(re.findall(r"""environ(?:\.get)?[(\[]\s*['"](\w+)['"]""", text))
        found |= set(re.findall(r"""['"]((?:OCCYSTRAP|AWS|DOCKER|CONTAINER|XDG)_[A-Z_0-9]+|[A-Z]+_PROXY)['"]""", text))
    assert len(found) > 20
    assert sorted(name for name in found if f'`{name}`' not in page and f'{name}`' not in page) == []


@pytest.mark.parametrize('destination', ['dir://d', 'dir://e?expand=true', 'layout://l', 'tar://t.tar',
                                         'tar://o.tar?format=oci', 'oci://b', 'mounts://m'])
def test_receipts_fit_their_schema(destination: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_docker_archive(tmp_path / 'a.tar', sample_config(), sample_layers(), 'app:v1')
    assert run_here('process', 'tar://a.tar', destination, '--receipt', 'receipts').code == 0
    schema = json.loads((ROOT / 'docs/receipt.schema.json').read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    receipt = json.loads((tmp_path / 'receipts').read_text())
    jsonschema.validate(receipt, schema)
    page = (ROOT / 'docs/receipts.md').read_text()
    assert all(f'`{name}`' in page for name in schema['properties'])
    for name in schema['required']:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**receipt, name: [0]}, schema)


def test_receipts_of_indexes_fit_it_too(registry: Registry, tmp_path: Path) -> None:
    from occystrap_core.oci.media_types import OCI_INDEX
    from tests.services.uploads import put_manifest
    images = [put_tiny_image(registry, 'schema/app', architecture=each) for each in ('amd64', 'arm64')]
    index = json.dumps({'schemaVersion': 2, 'mediaType': OCI_INDEX, 'manifests': images}).encode()
    put_manifest(registry, 'schema/app', index, OCI_INDEX, 'v1')
    source = f'registry://{registry.host}/schema/app:v1'
    copy = f'registry://{registry.host}/schema/copy:v1'
    run_here('process', source, copy, '--receipt', tmp_path / 'all').assert_success()
    run_here('process', source, f'tar://{tmp_path}/one.tar', '--receipt', tmp_path / 'one').assert_success()
    schema = json.loads((ROOT / 'docs/receipt.schema.json').read_text())
    for name in ('all', 'one'):
        jsonschema.validate(json.loads((tmp_path / name).read_text()), schema)


# The site

def test_the_site_builds_strictly_and_needs_no_other_host(tmp_path: Path) -> None:
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet', '--site-dir', tmp_path / 'site']
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, 'NO_MKDOCS_2_WARNING': '1'})
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ('index', 'getting-started/index', 'air-gap/index', 'formats/dir/index', 'api/index'):
        page = (tmp_path / f'site/{name}.html').read_text()
        assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="?(https?:[^" >]+)', page) == []
    _require_pages_of_links(tmp_path / 'site')
    navigation = (ROOT / 'mkdocs.yml').read_text()
    for name in os.listdir(ROOT / 'docs'):
        assert not name.endswith('.md') or f'- {name}' in navigation or name == 'occystrap-core.md', name


def _require_pages_of_links(site: Path) -> None:
    """Fail unless every relative link leads to a page, and to a heading of it."""
    pages = {path: path.read_text() for path in site.rglob('*.html') if path.name != '404.html'}
    headings = {path: set(re.findall(r'\bid="?([^" >]+)', text)) for path, text in pages.items()}
    for path, text in pages.items():
        for link in re.findall(r'<a [^>]*?href="?([^" >]+)', text):
            page, _, heading = html.unescape(link).partition('#')
            if re.match('[a-z]+:|/', page):
                continue
            target = Path(os.path.normpath(path.parent / page)) if page else path
            target = target / 'index.html' if target.is_dir() else target
            assert target.exists(), f'{path.relative_to(site)} has a link to {link}, which is no page'
            assert not heading or heading in headings.get(target, {heading}), f'{path.relative_to(site)}: {link}'
