"""The end of a server of the standard library that serves on a thread."""
import socket
import socketserver


def stop(server: socketserver.BaseServer) -> None:
    """Stop it without waiting until it looks again whether it should."""
    server.socket.shutdown(socket.SHUT_RDWR)
    server.shutdown()
