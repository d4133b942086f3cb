"""Requests that failed without an answer: the message, and how many retries may help."""
import socket
import ssl

from occystrap_registry.transport.address import HUB_API
from occystrap_registry.transport.http_stream import TooSlow
from occystrap_registry.transport.network import ProxyUnreachable
from occystrap_registry.transport.silence import NotAsked
from occystrap_registry.transport.transport_errors import ProxyError, TimedOut, TransportError, Unsendable

_MANY = 1000
_OF_HUB = 'is this machine online? An image without a host, such as team/app:v1, means docker.io/team/app:v1'
_EXPIRED, _NOT_YET, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
"""Some of X509_V_ERR_… (OpenSSL, x509_vfy.h)."""
_UNKNOWN_CLIENT = ('UNKNOWN_CA', 'BAD_CERTIFICATE', 'CERTIFICATE_EXPIRED', 'CERTIFICATE_UNKNOWN', 'CERTIFICATE_REVOKED',
                   'UNSUPPORTED_CERTIFICATE', 'ACCESS_DENIED', 'HANDSHAKE_FAILURE')
_NO_TLS = ('WRONG_VERSION_NUMBER', 'RECORD_LAYER_FAILURE', 'HTTP_REQUEST', 'UNKNOWN_PROTOCOL', 'PACKET_LENGTH_TOO_LONG')
_OTHER_VERSION = ('PROTOCOL_VERSION', 'UNSUPPORTED_PROTOCOL', 'VERSION_TOO_LOW', 'NO_PROTOCOLS_AVAILABLE')


def attempts_worth(error: TransportError) -> int:
    """Return how many retries may help: none after a bad certificate, one after a closed port."""
    cause = _cause(error)
    if isinstance(error, (Unsendable, NotAsked)) or _tls_error(cause, ''):
        return 0
    hopeless = isinstance(cause, (ConnectionRefusedError, socket.gaierror)) or isinstance(error, TooSlow)
    return 1 if hopeless else _MANY


def is_refused(error: TransportError) -> bool:
    """Return whether the port of the host itself is closed; a proxy does not count."""
    by_proxy = isinstance(error, (ProxyUnreachable, ProxyError))
    return not by_proxy and isinstance(_cause(error), ConnectionRefusedError)


def explain(error: TransportError, host: str) -> str:
    """Return the message for a failed request to `host`: one line with the cause and what to do."""
    cause = _cause(error)
    service = 'a registry'
    if isinstance(error, ProxyUnreachable):
        host, service = str(error.proxy), 'a proxy'
    if isinstance(error, ProxyError | NotAsked):
        return str(error)
    if isinstance(cause, ConnectionRefusedError):
        if error.url is None or error.url.port or isinstance(error, ProxyUnreachable):
            return f'connection refused by {host}: is {service} running there?'
        return (f'connection refused by {host} at port {error.url.port_or_default}: is {service} running there? '
                f'Give another port as {host}:PORT')
    if isinstance(error, TooSlow):
        return f'{host} {error}'
    if isinstance(error, TimedOut) or (isinstance(error, ProxyUnreachable) and error.timed_out):
        return f'{host} did not answer in time (--timeout)'
    if isinstance(cause, socket.gaierror):
        what = _OF_HUB if host == HUB_API else 'is the name right?'
        return f'{host} cannot be found: {cause.strerror}; {what}'
    return _tls_error(cause, host) or f'{host} cannot be reached: {str(error) or type(error).__name__}'


def _tls_error(cause: BaseException, host: str) -> str | None:
    """Return the message for a failed handshake; None for a failure that a retry may cure."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _bad_certificate(cause, host)
    if not isinstance(cause, ssl.SSLError):
        return None
    reason = cause.reason or ''
    place = f'put NAME.cert and NAME.key into /etc/docker/certs.d/{host}/ or ~/.docker/certs.d/{host}/'
    if reason.endswith('CERTIFICATE_REQUIRED'):
        return f'{host} requires a client certificate: {place}'
    if 'ALERT' in reason and reason.endswith(_UNKNOWN_CLIENT):
        return f'{host} requires a client certificate of an authority that it trusts: {place}'
    if reason.endswith(_NO_TLS):
        return f'{host} does not use TLS at this port: check the port; ?insecure=true allows http'
    if reason.endswith(_OTHER_VERSION):
        return f'{host} has no version of TLS that this machine accepts: the registry needs a newer one'
    return None


def _bad_certificate(cause: ssl.SSLCertVerificationError, host: str) -> str:
    code = getattr(cause, 'verify_code', 0)
    if code in (_OTHER_NAME, _OTHER_ADDRESS):
        return (f'{host} has a certificate for another name: use a name that the certificate has; '
                '?insecure=true skips the check')
    if code in (_EXPIRED, _NOT_YET):
        when = 'has expired' if code == _EXPIRED else 'is not valid yet'
        return (f'{host} has a certificate that {when}: it needs a new one, if this machine\'s clock is right; '
                '?insecure=true skips the check')
    return (f'{host} has a certificate that this machine does not trust: give its authority with --ca-file or as '
            f'/etc/docker/certs.d/{host}/ca.crt; ?insecure=true skips the check')


def _cause(error: BaseException) -> BaseException:
    """Return the OSError below, or the innermost exception."""
    below = error.__cause__ or error.__context__
    return error if below is None or isinstance(error, OSError) else _cause(below)
