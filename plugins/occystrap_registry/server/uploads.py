"""Uploads in progress: bytes go to a temporary file and through the hash as they arrive."""
import hashlib
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import anyio.to_thread

from occystrap_core.oci import Digest
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.storage import Storage

_BATCH = 512 << 10
_LIFETIME = 3600.0
"""Seconds after which an upload that nobody continues is forgotten."""


class Upload:
    """One upload: a temporary file, its size so far in bytes and its running hash."""

    def __init__(self, repository: str, path: Path) -> None:
        self.repository, self.path, self.id = repository, path, path.name
        self.size = 0
        self.busy = False
        self.touched = time.monotonic()
        self._hash = hashlib.sha256()
        self._file = open(path, 'wb', buffering=0)

    async def append(self, stream: AsyncIterator[bytes]) -> None:
        """Take all of a request's body, in large pieces, on a thread that may wait for the disk."""
        pending: list[bytes] = []
        waiting = 0
        async for piece in stream:
            pending.append(piece)
            waiting += len(piece)
            if waiting >= _BATCH:
                await anyio.to_thread.run_sync(self._write, b''.join(pending))
                pending, waiting = [], 0
        if pending:
            await anyio.to_thread.run_sync(self._write, b''.join(pending))
        self.touched = time.monotonic()

    @property
    def digest(self) -> Digest:
        """The digest of what has arrived."""
        return Digest(f'sha256:{self._hash.hexdigest()}')

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def discard(self) -> None:
        """Remove the file."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        self._hash.update(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view):]
        self.size += len(data)


class Uploads:
    """All uploads in progress, by their ID."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._uploads: dict[str, Upload] = {}

    def start(self, repository: str) -> Upload:
        """Return a new upload; those that were abandoned are removed."""
        for old in [each for each in self._uploads.values() if time.monotonic() - each.touched > _LIFETIME]:
            self.discard(old)
        upload = Upload(repository, self._storage.temporary / uuid.uuid4().hex)
        self._uploads[upload.id] = upload
        return upload

    def find(self, repository: str, identity: str) -> Upload:
        """Return an upload; raises Problem 404 BLOB_UPLOAD_UNKNOWN."""
        upload = self._uploads.get(identity)
        if upload is None or upload.repository != repository:
            raise Problem(404, 'BLOB_UPLOAD_UNKNOWN', 'there is no such upload')
        return upload

    def finish(self, upload: Upload, promised: Digest) -> None:
        """Make an upload a blob; raises Problem 400 DIGEST_INVALID, after which nothing is left of it."""
        self._uploads.pop(upload.id, None)
        if upload.digest != promised:
            upload.discard()
            raise Problem(400, 'DIGEST_INVALID', f'the bytes have digest {upload.digest}, not {promised}')
        upload.close()
        self._storage.add_blob(upload.repository, promised, upload.path)

    def discard(self, upload: Upload) -> None:
        """Forget an upload and its file."""
        self._uploads.pop(upload.id, None)
        upload.discard()
