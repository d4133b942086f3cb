"""Reading error answers and warnings of a registry, of a storage behind it, or of any other server."""
import re
from collections.abc import Mapping

from occystrap_core import InvalidImage
from occystrap_core.oci import media_types, parse_json
from occystrap_registry.transport.answers import Reply
from occystrap_registry.transport.headers import Headers

_MESSAGE, _WARNINGS = 200, 5
_VERSION = 'docker-distribution-api-version'
_CODES = {'BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN', 'MANIFEST_INVALID', 'MANIFEST_UNKNOWN', 'NAME_INVALID',
          'NAME_UNKNOWN'}
"""Error codes that only registries send (distribution-spec, Error codes); other services may send the others, too."""
_XML_MESSAGE = rb'(?s)<Error>.{0,400}?<Message>([^<]{1,400})'


def is_base(reply: Reply) -> bool:
    """Return whether an answer 200 may be that of a registry to `/v2/`: without a body, or JSON."""
    return _VERSION in reply.headers or reply.body.strip()[:1] in (b'', b'{', b'[')


def speaks_as_registry(reply: Reply) -> bool:
    """Return whether an answer must come from a registry, by its header fields or its error codes."""
    named = any(name in reply.headers for name in (_VERSION, 'docker-content-digest'))
    return named or bool(_CODES & set(error_codes(reply)))


def is_web_page(headers: Headers, body: bytes) -> bool:
    """Return whether an answer 200 is a web page, such as that of a sign-in or of a proxy; `body` may be its beginning.

    Some registries serve everything as text/html, so the type alone says nothing.
    """
    return media_types.essence(headers.get('content-type', '')) == 'text/html' and body.lstrip()[:1] == b'<'


def web_page(host: str) -> str:
    """Return what to say about a web page that a host sends instead of what was requested."""
    return f'{host} sends a web page instead: check the name, and whether it asks for a sign-in or a proxy is between'


def error_codes(reply: Reply) -> list[str]:
    """Return the error codes in an answer (distribution-spec, Error codes); none if it is not a registry's."""
    return [str(each['code']) for each in _errors(reply) if each.get('code')]


def _errors(reply: Reply) -> list[Mapping[str, object]]:
    try:
        errors = parse_json(reply.body, 'the answer')['errors']
        return [each for each in errors if isinstance(each, Mapping)]
    except (InvalidImage, KeyError, TypeError):
        return []


def warnings_in(reply: Reply) -> list[str]:
    """Return the warnings in the header fields of an answer (distribution-spec, Warnings), each shortened to one line.
    """
    found = re.findall(r'\b299 \S+ "((?:[^"\\]|\\.)*)"', reply.headers.get('warning', ''))
    return [_one_line(re.sub(r'\\(.)', r'\1', text)) for text in found[:_WARNINGS]]


def error_text(reply: Reply) -> str:
    """Return the message in the OCI error JSON, or in the XML of a storage, shortened to one line."""
    text = '; '.join(_text_of(each) for each in _errors(reply))
    if not text and (said := re.search(_XML_MESSAGE, reply.body)):
        text = said[1].decode(errors='replace')
    return _one_line(text)


def _one_line(text: str) -> str:
    return ''.join(letter if letter.isprintable() else ' ' for letter in text)[:_MESSAGE]


def _text_of(error: Mapping[str, object]) -> str:
    """Return the message of one error, with its detail if that is text; Nexus gives the reason there."""
    text, detail = str(error.get('message') or error.get('code')), error.get('detail')
    return f'{text}: {detail}' if isinstance(detail, str) and detail and detail != text else text
