"""The storage of a temporary registry, asked by several requests of a daemon at the same time."""
from pathlib import Path

from occystrap_core.oci import Digest
from occystrap_docker.push.storage import Blob, PushStorage


def test_a_mount_and_a_question_do_not_wait_for_each_other(tmp_path: Path) -> None:
    arrived: list[Blob] = []
    storage = PushStorage(tmp_path, 'secret', arrived.append, lambda digest: None)
    complete = storage.files.write_incomplete(b'blob')
    digest = Digest.of(b'blob')
    assert not storage.mount_blob('secret', digest, 'another')
    storage.add_blob('secret', digest, complete)
    assert storage.blob_size('secret', digest) == 4 and storage.mount_blob('secret', digest, 'secret')
    storage.take(arrived[0])
    assert storage.has_blob('secret', digest) and storage.blob_size('secret', digest) == 4
