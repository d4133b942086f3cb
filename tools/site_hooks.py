"""What mkdocs is told about these documents: READMEs and examples are pages, and fences may say how tests run them."""
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PLUGINS = Path(__file__).parents[1] / 'plugins'
EXAMPLES = Path(__file__).parents[1] / 'docs/examples'
LINKS = re.compile(r'\]\(\.\./plugins/occystrap_(\w+)/README\.md')
EXAMPLE_LINKS = re.compile(r'\]\(examples/([\w-]+)/README\.md')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README of each plugin as a page, and each example with all its source."""
    for readme in sorted(PLUGINS.glob('*/README.md')):
        name = readme.parent.name.removeprefix('occystrap_')
        files.append(File.generated(config, f'formats/{name}.md', content=readme.read_text()))
    for example in sorted(EXAMPLES.iterdir()):
        files.append(File.generated(config, f'plugin-examples/{example.name}.md', content=_page(example)))
    return files


def _page(example: Path) -> str:
    """Return the README of an example and, below it, its project and its modules."""
    modules = [path for path in sorted(example.glob('*/*.py')) if path.name != '__init__.py']
    parts = [(path.relative_to(example), path.read_text()) for path in (example / 'pyproject.toml', *modules)]
    return '\n'.join([(example / 'README.md').read_text(), '## Source', *(
        f'### `{name}`\n\n```{"python" if name.suffix == ".py" else "toml"}\n{text}```\n' for name, text in parts)])


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the text with links to those pages, and with fences as Markdown has them."""
    markdown = EXAMPLE_LINKS.sub(r'](plugin-examples/\1.md', markdown)
    return re.sub(r'^```sh \w+$', '```sh', LINKS.sub(r'](formats/\1.md', markdown), flags=re.MULTILINE)
