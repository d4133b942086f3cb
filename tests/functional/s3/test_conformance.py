"""s3:// is held to the rules that authors of plugins get as a kit; all of them with OCCYSTRAP_TEST_ALL=1."""
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from occystrap_core import Receipt, VerifyLevel
from occystrap_core.testing.conformance import uri_fields
from occystrap_core.testing.damage import Damage
from occystrap_core.testing.input_conformance import InputConformance
from occystrap_core.testing.writer_conformance import WriterConformance
from tests.services.localstack import ObjectStorage
from tests.services.requirements import EVERYTHING

OFTEN = ('fast_verification', 'another_process', 'wrong_bytes', '[sample]', 'platforms')
"""Parts of the names of tests that always run: each request to the server takes milliseconds."""


class InBucket:
    """A prefix for each test, in a bucket that is shared."""

    inapplicable = {'many_layers': 'hundreds of requests, which show nothing more'}
    uri = ''

    @pytest.fixture(autouse=True)
    def _bucket(self, object_storage: ObjectStorage, bucket: str, request: pytest.FixtureRequest) -> None:
        if not EVERYTHING and not any(each in request.node.name for each in OFTEN):
            pytest.skip('for OCCYSTRAP_TEST_ALL=1')
        self.storage, self.bucket = object_storage, bucket
        self.uri = f's3://{bucket}/{{name}}/image:v1'


class TestS3Input(InBucket, InputConformance):
    pass


class TestS3(InBucket, WriterConformance):
    def content(self, directory: Path) -> Mapping[str, object]:
        """The records of images: blobs that a failed run has left are nobody's."""
        found = {key: self.storage.read(self.bucket, key) for key in self._keys(directory) if '/images/' in key}
        return {key.partition('/')[2]: content for key, content in found.items()}

    def _keys(self, directory: Path) -> list[str]:
        return [key for key in self.storage.keys(self.bucket) if key.startswith(uri_fields(directory)['name'])]

    def damages(self, directory: Path, receipt: Receipt) -> Sequence[Damage]:
        """Blobs that are gone, cut, or others of the same size."""
        found = []
        for key in self._keys(directory):
            if '/blobs/' in key:
                content = self.storage.read(self.bucket, key)
                others = {'gone': None, 'cut': content[:-1], 'flipped': bytes([content[0] ^ 1]) + content[1:]}
                found += [Damage(f'{key} {what}', VerifyLevel.FULL if what == 'flipped' else VerifyLevel.FAST,
                                 partial(self._replaced, key, other)) for what, other in others.items()]
        return found

    @contextmanager
    def _replaced(self, key: str, content: bytes | None) -> Iterator[None]:
        before, client = self.storage.read(self.bucket, key), self.storage.client
        if content is None:
            client.delete_object(Bucket=self.bucket, Key=key)
        else:
            client.put_object(Bucket=self.bucket, Key=key, Body=content, ChecksumAlgorithm='SHA256')
        yield
        client.put_object(Bucket=self.bucket, Key=key, Body=before, ChecksumAlgorithm='SHA256')
