"""httpx and httpcore, imported here without what few runs use: HTTP/2, asynchronous networks, international names,
zstd, and the command line of httpx itself.

Import them from here alone. That saves 35 of 85 ms of processor time at every start. httpx would import httpcore at its
first request, which may be made on several threads at once.
"""
from occystrap_registry.transport.deferred_modules import deferred

with deferred('h2', 'rich', 'pygments', 'anyio', 'certifi', 'idna', 'zstandard'):
    import h2.exceptions
    import httpcore
    import httpx

__all__ = ['h2', 'httpcore', 'httpx']
