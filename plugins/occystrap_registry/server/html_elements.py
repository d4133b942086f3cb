"""HTML elements: text is escaped unless it is Html already, so that no client can inject markup."""
import html
from collections.abc import Iterable

from occystrap_core.files import printable

_VOID = frozenset(('meta', 'link'))


class Html(str):
    """Text that is HTML; only made by this module."""


def element(name: str, /, *children: str, **attributes: str) -> Html:
    """Return an element. In names of attributes an underscore becomes a dash; a trailing one is removed."""
    given = ''.join(f' {key.rstrip("_").replace("_", "-")}="{_escaped(text)}"' for key, text in attributes.items())
    end = '' if name in _VOID else f'</{name}>'
    return Html(f'<{name}{given}>{together(children)}{end}')


def together(children: Iterable[str]) -> Html:
    """Return elements and texts, concatenated."""
    return Html(''.join(each if isinstance(each, Html) else _escaped(each) for each in children))


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def document(*children: str, **attributes: str) -> Html:
    """Return a whole page."""
    return Html(f'<!DOCTYPE html>\n{element("html", *children, **attributes)}\n')
