"""TLS contexts: trusted authorities and client certificates.

Authorities are the system's, those of `Settings.ca_file`, and those in the directories of docker and Podman,
certs.d/HOST[:PORT], with *.crt (authorities) and pairs of *.cert and *.key (client certificates).
"""
import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

from occystrap_core import Settings, UsageError

_SYSTEM = ('/etc/docker', '/etc/containers')
_HOST = r'[\w\[][\w.:\]-]*'


def context_for(host: str, lenient: bool, insecure: bool, settings: Settings, http2: bool = False) -> ssl.SSLContext:
    """Return the context for connections to `host[:port]`, made once a run; raises UsageError for an invalid file.

    `lenient` skips checking certificates: always with `insecure`, which is the user's explicit choice, otherwise, as
    for this machine, only if certs.d has no authority. Connections with `http2` have their own contexts, which offer
    HTTP/2.
    """
    def make() -> ssl.SSLContext:
        files = CertificateFiles(host)
        context = _context(files, lenient and (insecure or not files.authorities), settings.ca_file)
        context.set_alpn_protocols(['h2', 'http/1.1'] if http2 else ['http/1.1'])
        return context
    return settings.shared.lasting.get(('tls context', host, lenient, insecure, http2), make)


def require_authorities(path: Path) -> None:
    """Raise UsageError for a file without certificates of authorities."""
    _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), path)


class CertificateFiles:
    """The files in certs.d for exactly this host and port."""

    def __init__(self, host: str) -> None:
        """Raises UsageError for a directory that cannot be read or has half a pair."""
        files = list(_files(host)) if re.fullmatch(_HOST, host) else []
        self.authorities = [path for path in files if path.suffix == '.crt']
        self.pairs = [(path, path.with_suffix('.key')) for path in files if path.suffix == '.cert']
        paired = {half for pair in self.pairs for half in pair}
        for path in files:
            if path.suffix == '.key' and path not in paired:
                raise UsageError(f'{path} has no {path.with_suffix(".cert").name} beside it, the certificate of this '
                                 'key: put it there, or remove the key')


def _files(host: str) -> Iterator[Path]:
    from occystrap_registry.credentials.auth_files import containers_directory, docker_directory  # late: for TLS alone
    for directory in (*_SYSTEM, containers_directory(), docker_directory()):
        if directory is None:
            continue
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
        reason = 'it has no certificates in PEM form' if isinstance(error, ssl.SSLError) else error.strerror
        raise UsageError(f'{path} cannot be read as certificates of authorities: {reason}') from None


def _identify(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    if not key.exists():
        raise UsageError(f'{certificate} has no {key.name} beside it: put its key there; certificates of authorities '
                         'are named .crt')
    try:
        context.load_cert_chain(certificate, key, password=lambda: '')  # otherwise OpenSSL asks for it on the terminal
    except OSError as error:
        raise UsageError(f'{certificate} and {key.name} cannot be used as client certificate: '
                         f'{_wrong_pair(error)}') from None


def _wrong_pair(error: OSError) -> str:
    if not isinstance(error, ssl.SSLError):
        return str(error.strerror)
    if error.reason == 'KEY_VALUES_MISMATCH':
        return 'the key belongs to another certificate'
    return 'expected PEM without a password'
