"""Self-signed certificates, for TLS and for signing tokens."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.services.requirements import require_program


@dataclass(frozen=True)
class Certificate:
    """A key and its self-signed certificate, both PEM files; clients trust `certificate` as their CA."""

    key: Path
    certificate: Path


def self_signed(folder: Path) -> Certificate:
    """A new certificate for localhost and 127.0.0.1."""
    pair = Certificate(folder / 'key.pem', folder / 'certificate.pem')
    openssl = require_program('openssl', 'openssl')
    subprocess.run([
        openssl, 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost',
        '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', pair.key, '-out', pair.certificate,
    ], check=True, capture_output=True)
    return pair
