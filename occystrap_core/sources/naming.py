"""Names of sources as they stand in lists and plans: whole URIs, or references of registries without the scheme."""
import re

from occystrap_core.errors import UsageError
from occystrap_core.oci.reference import Reference
from occystrap_core.uri import parse_uri, redact

_LEFT_TO_THE_INPUT = re.compile(r'[*?\[@]')
"""Marks of globs and credentials, which only the input understands, and of digests."""


def source_uri(text: str) -> str:
    """Return the URI that `text` stands for; raises UsageError for what can be none.

    A reference without a scheme is in a registry, one without a host on Docker Hub, as docker reads names.
    """
    if not text.isprintable():
        raise UsageError(f'{redact(text)!r} has control characters')
    if '://' in text:
        parse_uri(text)
        return text
    if re.search(r'\s', text):
        raise UsageError(f'{redact(text)!r} is more than one reference')
    uri = f'registry://{text}' if _has_host(text) else f'registry://docker.io/{text}'
    path = parse_uri(uri).path
    if not _LEFT_TO_THE_INPUT.search(path):
        Reference.parse(path, with_host=True)
    return uri


def _has_host(text: str) -> bool:
    first, slash, _ = text.partition('?')[0].partition('/')
    return bool(slash) and (first == 'localhost' or any(mark in first for mark in '.:@'))
