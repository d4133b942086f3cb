"""Trust over TLS: who vouches for a registry, and who we are to it.

Certificates of authorities are the system's, those of `Settings.ca_file`, and those in the directories where docker and
Podman keep them, certs.d/HOST[:PORT] with *.crt (authorities) and pairs of *.cert and *.key (who we are).
"""
import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

from occystrap_core import Settings, UsageError
from occystrap_registry.credentials.auth_files import containers_directory, docker_directory

_SYSTEM = ('/etc/docker', '/etc/containers')
_HOST = re.compile(r'[\w\[][\w.:\]-]*')


def context_for(host: str, lenient: bool, insecure: bool, settings: Settings, http2: bool = False) -> ssl.SSLContext:
    """Return the context for connections to `host[:port]`, made once a run; raises UsageError for a bad file.

    `lenient`: certificates need not be good, for which `insecure` is the user's own word; without it, as for this
    machine, an authority in certs.d is reason enough to check. `http2` connections have contexts of their own, in which
    HTTP/2 is offered.
    """
    def make() -> ssl.SSLContext:
        files = CertificateFiles(host)
        return _context(files, lenient and (insecure or not files.authorities), settings.ca_file)
    return settings.shared.get(('tls context', host, lenient, insecure, http2), make)


class CertificateFiles:
    """What is in certs.d for exactly this host and port."""

    def __init__(self, host: str) -> None:
        """Raises UsageError for a directory that cannot be read or has half a pair."""
        files = list(_files(host)) if _HOST.fullmatch(host) else []
        self.authorities = [path for path in files if path.suffix == '.crt']
        self.pairs = [(path, path.with_suffix('.key')) for path in files if path.suffix == '.cert']
        wanted = {half for pair in self.pairs for half in pair}
        for path in files:
            if path.suffix == '.key' and path not in wanted:
                raise UsageError(f'{path} has no {path.with_suffix(".cert").name} beside it, the certificate of this '
                                 'key: put it there, or take the key away')


def _files(host: str) -> Iterator[Path]:
    for directory in (*_SYSTEM, containers_directory(), docker_directory()):
        path = Path(directory, 'certs.d', host)
        try:
            yield from sorted(path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UsageError(f'{path} cannot be read: {error.strerror}') from None


def _context(files: CertificateFiles, lenient: bool, ca_file: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if lenient else ssl.create_default_context()
    if lenient:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        for path in (*([Path(ca_file)] if ca_file else []), *files.authorities):
            _trust(context, path)
    for certificate, key in files.pairs:
        _identify(context, certificate, key)
    return context


def _trust(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=os.fspath(path))
    except OSError as error:  # SSLError is one
        reason = 'it holds no certificates in PEM form' if isinstance(error, ssl.SSLError) else error.strerror
        raise UsageError(f'{path} cannot be read as certificates of authorities: {reason}') from None


def _identify(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    if not key.exists():
        raise UsageError(f'{certificate} has no {key.name} beside it: put its key there; certificates of authorities '
                         'are named .crt')
    try:
        context.load_cert_chain(certificate, key, password=lambda: '')  # else it would be asked for on the terminal
    except OSError as error:
        raise UsageError(f'{certificate} and {key.name} cannot be used as client certificate: '
                         f'{_wrong_pair(error)}') from None


def _wrong_pair(error: OSError) -> str:
    if not isinstance(error, ssl.SSLError):
        return str(error.strerror)
    if error.reason == 'KEY_VALUES_MISMATCH':
        return 'the key is another certificate\'s'
    return 'PEM without a password is expected'
