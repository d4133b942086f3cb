"""WWW-Authenticate headers (RFC 9110, 11.6.1): several challenges, parameters in any order, quoted or not.

Deviations of real servers are accepted: `;` between parameters, single quotes.
"""
import re
from collections.abc import Iterable
from typing import NamedTuple

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PART = (rf'\s*(?:(?P<name>{_TOKEN})\s*=(?!=*\s*(?:,|$))\s*'
         r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|\'(?P<single>[^\']*)\'|(?P<plain>[^\s,;"]*))'
         rf'|(?P<scheme>{_TOKEN})(?=\s|,|$)|(?P<token68>[A-Za-z0-9._~+/-]+=*)(?=\s|,|$)|[,;])')


class Challenge(NamedTuple):
    """One authentication scheme that a server offers; scheme and parameter names are in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Return the challenges of all WWW-Authenticate headers; a malformed part ends the parsing of its header."""
    challenges, part = list[Challenge](), re.compile(_PART)
    for header in headers:
        position = 0
        while found := part.match(header, position):
            if found.end() == position:
                break
            position = found.end()
            if found['scheme']:
                challenges.append(Challenge(found['scheme'].lower(), {}))
            elif found['name'] and challenges:
                quoted = found['quoted']
                value = (re.sub(r'\\(.)', r'\1', quoted) if quoted is not None else
                         found['single'] if found['single'] is not None else found['plain'])
                challenges[-1].parameters.setdefault(found['name'].lower(), value)
    return challenges
