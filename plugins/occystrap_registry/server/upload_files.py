"""Uploads in progress: bytes are written to a temporary file and hashed as they arrive."""
import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from functools import partial
from io import FileIO
from pathlib import Path

import anyio.to_thread

from occystrap_core.files import hash_file
from occystrap_core.oci import SHA256, Digest
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.storage import Storage
from occystrap_registry.server.storage_files import kept_alive

_BATCH = 512 << 10
_LIFETIME = 600.0
"""Seconds after which an idle upload is removed."""
_IN_A_HURRY = 30.0
"""The same if there are too many uploads."""
_MOST = 256
"""Limit of uploads at a time."""


class Upload:
    """One upload: a temporary file, its size so far in bytes and its running hash."""

    def __init__(self, repository: str, path: Path, storage: Storage, algorithm: str = SHA256) -> None:
        self.repository, self.path, self.id = repository, path, path.name
        self.size, self._storage = 0, storage
        self.busy = False
        self.touched = time.monotonic()
        self._hash = hashlib.new(algorithm)
        path.touch()

    def hash_by(self, algorithm: str) -> None:
        """Use another hash algorithm, if nothing has arrived yet, since the digest may only be known at the last
        request."""
        if not self.size:
            self._hash = hashlib.new(algorithm)

    async def append(self, stream: AsyncIterator[bytes]) -> None:
        """Append a request's body in large pieces, which a thread writes, since it may wait for the disk."""
        pending: list[bytes] = []
        waiting = 0
        with open(self.path, 'ab', buffering=0) as file:  # closed between requests: there may be many uploads
            async for piece in stream:
                pending.append(piece)
                waiting += len(piece)
                if waiting >= _BATCH:
                    await anyio.to_thread.run_sync(self._write, file, b''.join(pending))
                    pending, waiting = [], 0
            if pending:
                await anyio.to_thread.run_sync(self._write, file, b''.join(pending))

    async def digest_like(self, other: Digest) -> Digest:
        """Return the digest of the bytes so far, by the algorithm of another digest; they are read again for a new
        algorithm."""
        if other.algorithm == self._hash.name:
            return Digest.of_hash(self._hash)
        return (await anyio.to_thread.run_sync(partial(hash_file, self.path, algorithm=other.algorithm)))[0]

    def discard(self) -> None:
        """Remove the file; a thread frees its space. Must be called on the event loop."""
        try:
            descriptor = kept_alive(self.path)
        except OSError:  # gone already, or too many files are open
            self.path.unlink(missing_ok=True)
            return
        self.path.unlink(missing_ok=True)
        asyncio.get_running_loop().run_in_executor(None, os.close, descriptor)

    def _write(self, file: FileIO, data: bytes) -> None:
        if self.size + len(data) > self._storage.largest:
            raise Problem(413, 'SIZE_INVALID', f'a blob may have at most {self._storage.largest:g} bytes')
        self._storage.require_room(len(data))
        self._hash.update(data)
        view = memoryview(data)
        while view:
            view = view[file.write(view):]
        self.size += len(data)
        self.touched = time.monotonic()


class Uploads:
    """All uploads in progress, by their ID."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._uploads: dict[str, Upload] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        """Return how many there are."""
        return len(self._uploads)

    def start(self, repository: str, algorithm: str = SHA256) -> Upload:
        """Return a new upload, after removing abandoned ones. Raises Problem 429 if there are too many.

        `algorithm` is probably that of the final digest.
        """
        self._forget(_LIFETIME if len(self._uploads) < _MOST else _IN_A_HURRY)
        if len(self._uploads) >= _MOST:
            raise Problem(429, 'TOOMANYREQUESTS', f'there are {_MOST} uploads already', {'Retry-After': '5'})
        upload = Upload(repository, self._storage.files.new_name(), self._storage, algorithm)
        self._uploads[upload.id] = upload
        self._look_later()
        return upload

    def find(self, repository: str, identity: str) -> Upload:
        """Return an upload; raises Problem 404 BLOB_UPLOAD_UNKNOWN."""
        upload = self._uploads.get(identity)
        if upload is None or upload.repository != repository:
            raise Problem(404, 'BLOB_UPLOAD_UNKNOWN', 'there is no such upload')
        return upload

    async def finish(self, upload: Upload, expected: Digest) -> None:
        """Turn an upload into a blob; raises Problem 400 DIGEST_INVALID, and removes it, for another digest."""
        self._uploads.pop(upload.id, None)
        digest = await upload.digest_like(expected)
        if digest != expected:
            upload.discard()
            raise Problem(400, 'DIGEST_INVALID', f'the bytes have digest {digest}, not {expected}')
        try:
            await anyio.to_thread.run_sync(self._storage.add_blob, upload.repository, expected, upload.path)
        except OSError:
            upload.discard()
            raise

    def is_under_way(self, repository: str) -> bool:
        """Return whether something is being uploaded to a repository; may be called by any thread."""
        return any(upload.repository == repository for upload in [*self._uploads.values()])

    def discard(self, upload: Upload) -> None:
        """Remove an upload and its file."""
        self._uploads.pop(upload.id, None)
        upload.discard()

    def _look_later(self) -> None:
        """Remove abandoned uploads later even if no other begins, since they take space and keep repositories from
        being collected."""
        if self._uploads and not self._timer:
            self._timer = asyncio.get_running_loop().call_later(_LIFETIME, self._look)

    def _look(self) -> None:
        self._timer = None
        self._forget(_LIFETIME)
        self._look_later()

    def _forget(self, seconds: float) -> None:
        """Remove uploads that were idle for `seconds`."""
        now = time.monotonic()
        for old in [each for each in self._uploads.values() if not each.busy and now - each.touched > seconds]:
            self.discard(old)
