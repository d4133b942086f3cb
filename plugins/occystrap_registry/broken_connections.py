"""What it means that no answer came: what to tell, and how often it is worth to try again."""
import socket
import ssl

import httpx

_MANY = 1000


def attempts_worth(error: httpx.TransportError) -> int:
    """Return how many more attempts may help: none against a bad certificate, one against a closed port."""
    cause = _cause(error)
    if isinstance(error, (httpx.LocalProtocolError, httpx.UnsupportedProtocol)) or _is_untrusted(cause):
        return 0
    return 1 if is_refused(error) or isinstance(cause, socket.gaierror) else _MANY


def is_refused(error: httpx.TransportError) -> bool:
    """Tell whether nobody listens at the port."""
    return isinstance(_cause(error), ConnectionRefusedError)


def explain(error: httpx.TransportError, host: str) -> str:
    """Return one line that says what is wrong with reaching `host`, and what to do."""
    cause = _cause(error)
    if is_refused(error):
        return f'connection refused by {host}: is a registry running there?'
    if isinstance(error, httpx.TimeoutException):
        return f'{host} did not answer in time (--timeout)'
    if isinstance(cause, socket.gaierror):
        return f'{host} cannot be found: {cause.strerror}; is the name right?'
    if _is_untrusted(cause):
        return (f'{host} has a certificate that this machine does not trust: SSL_CERT_FILE can name its authority, '
                '?insecure=true leaves out the check')
    return f'{host} cannot be reached: {str(error) or type(error).__name__}'


def _is_untrusted(cause: BaseException) -> bool:
    return isinstance(cause, ssl.SSLCertVerificationError)


def _cause(error: BaseException) -> BaseException:
    """Return the operating system's error below what httpx and httpcore wrapped, or the lowest there is."""
    below = error.__cause__ or error.__context__
    return error if below is None or isinstance(error, OSError) else _cause(below)
