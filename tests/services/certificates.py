"""Certificates: self-signed ones, and an authority of our own that signs for servers and clients."""

import datetime
import ipaddress
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.services.requirements import require_program

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """A key and its certificate, both PEM files; clients trust a self-signed `certificate` as their CA."""

    key: Path
    certificate: Path


def self_signed(directory: Path) -> Certificate:
    """A new certificate for localhost and 127.0.0.1."""
    pair = Certificate(directory / 'key.pem', directory / 'certificate.pem')
    openssl = require_program('openssl', 'openssl')
    subprocess.run([
        openssl, 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost',
        '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', pair.key, '-out', pair.certificate,
    ], check=True, capture_output=True)
    return pair


def docker_certificates(directory: Path, authority: Path, pair: Certificate | None) -> Path:
    """The directory, made, with a CA and maybe our own certificate under the names that docker looks for."""
    directory.mkdir()
    shutil.copy(authority, directory / 'ca.pem')
    if pair:
        shutil.copy(pair.certificate, directory / 'cert.pem')
        shutil.copy(pair.key, directory / 'key.pem')
    return directory


class Authority:
    """A private authority; `certificate` is the file that its clients trust."""

    def __init__(self, directory: Path, name: str = 'authority') -> None:
        self._directory, self._key = directory, ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f'occystrap tests {name}')
        self.certificate = directory / f'{name}.crt'
        builder = self._builder(self._name, self._key, expired=False).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True).add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
                          key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                          decipher_only=False), critical=True)  # RFC 5280, which Python 3.13 insists on
        self.certificate.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))

    def sign(self, name: str, *hosts: str, expired: bool = False) -> Certificate:
        """A new certificate for the hosts (names and addresses), or without any for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_named(name), key, expired)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(host) for host in hosts]), False)
        pair = Certificate(self._directory / f'{name}.key', self._directory / f'{name}.cert')
        pair.key.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        pair.certificate.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))
        return pair

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, expired: bool) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - 3 * DAY)
                .not_valid_after(now - DAY if expired else now + DAY).add_extension(issuer, False)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
