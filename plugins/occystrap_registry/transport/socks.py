"""SOCKS5: asking a proxy to connect to a host that the proxy resolves (RFC 1928, RFC 1929).

httpcore's implementation assumes that each reply arrives in one read, and asserts that it is well-formed.
"""
import ipaddress
from collections.abc import Callable

from occystrap_registry.transport.proxies import Proxy

_VERSION, _LOGIN_VERSION, _CONNECT = 5, 1, 1
_NO_LOGIN, _LOGIN, _NONE_ACCEPTED = 0, 2, 0xff
_IPV4, _NAME, _IPV6 = 1, 3, 4
_ADDRESS_BYTES = {_IPV4: 4, _IPV6: 16}
_REPLIES = {1: 'it failed', 2: 'its rules forbid it', 3: 'network unreachable', 4: 'host unreachable',
            5: 'connection refused', 6: 'it took too long', 7: 'it cannot connect', 8: 'it knows no such addresses'}


class SocksError(Exception):
    """The proxy's reason for not connecting, or a violation of the protocol."""


def connect_by(proxy: Proxy, host: str, port: int, send: Callable[[bytes], None], receive: Callable[[int], bytes],
               ) -> None:
    """Ask the proxy at the other end to connect to a host, given by name or address.

    `receive` returns at most as many bytes as requested, none at the end. Raises SocksError.
    """
    _log_in(proxy, send, receive)
    send(bytes((_VERSION, _CONNECT, 0)) + _address(host) + port.to_bytes(2, 'big'))
    version, reply, _, kind = _exactly(4, receive)
    if version != _VERSION:
        raise SocksError('it does not speak SOCKS5')
    if reply:
        raise SocksError(_REPLIES.get(reply, f'it answers with the unknown code {reply}'))
    size = _exactly(1, receive)[0] if kind == _NAME else _ADDRESS_BYTES.get(kind)
    if size is None:
        raise SocksError('it does not speak SOCKS5')
    _exactly(size + 2, receive)


def _log_in(proxy: Proxy, send: Callable[[bytes], None], receive: Callable[[int], bytes]) -> None:
    methods = bytes((_NO_LOGIN, _LOGIN)) if proxy.login else bytes((_NO_LOGIN,))
    send(bytes((_VERSION, len(methods))) + methods)
    version, method = _exactly(2, receive)
    if version != _VERSION or method not in (*methods, _NONE_ACCEPTED):
        raise SocksError('it does not speak SOCKS5')
    if method == _NONE_ACCEPTED:
        raise SocksError(f'it wants another login: put USER:PASSWORD@ into {proxy.variable}')
    if method == _LOGIN and proxy.login:
        user, password = (part[:255] for part in proxy.login)
        send(bytes((_LOGIN_VERSION, len(user))) + user + bytes((len(password),)) + password)
        if _exactly(2, receive)[1]:
            raise SocksError(f'it refuses the login of {proxy.variable}')


def _address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode('ascii')
        if len(name) > 255:
            raise SocksError('the name of the host is too long') from None
        return bytes((_NAME, len(name))) + name
    return bytes((_IPV4 if address.version == 4 else _IPV6,)) + address.packed


def _exactly(count: int, receive: Callable[[int], bytes]) -> bytes:
    data = b''
    while len(data) < count:
        piece = receive(count - len(data))
        if not piece:
            raise SocksError('it closed the connection')
        data += piece
    return data
