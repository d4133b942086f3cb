"""What mkdocs is told about these documents: plugins' READMEs are pages, and fences may say how tests run them."""
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PLUGINS = Path(__file__).parents[1] / 'plugins'
LINKS = re.compile(r'\]\(\.\./plugins/occystrap_(\w+)/README\.md')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README of each plugin as a page."""
    for readme in sorted(PLUGINS.glob('*/README.md')):
        name = readme.parent.name.removeprefix('occystrap_')
        files.append(File.generated(config, f'formats/{name}.md', content=readme.read_text()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the text with links to those pages, and with fences as Markdown has them."""
    return re.sub(r'^```sh \w+$', '```sh', LINKS.sub(r'](formats/\1.md', markdown), flags=re.MULTILINE)
