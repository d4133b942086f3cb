"""A real S3 server: LocalStack of PyPI, in an environment of its own; it checks sha256 and conditions of writes."""

import subprocess
import sys
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.services.cache import built_once
from tests.services.directories import service_directory
from tests.services.ports import LOOPBACK, free_port
from tests.services.processes import running
from tests.services.requirements import ServiceUnavailable

VERSION = '4.9.2-1'
REQUIREMENTS = Path(__file__).with_name('localstack.txt')
"""LocalStack, and of what it asks for what S3 needs, in versions that fit together."""
CREDENTIALS = {'AWS_ACCESS_KEY_ID': 'tester', 'AWS_SECRET_ACCESS_KEY': 'correct horse',
               'AWS_DEFAULT_REGION': 'us-east-1', 'AWS_EC2_METADATA_DISABLED': 'true', 'AWS_CONFIG_FILE': '/dev/null',
               'AWS_SHARED_CREDENTIALS_FILE': '/dev/null'}
"""The environment of whoever uses it: any credentials are good, none of this machine are used."""


@dataclass(frozen=True)
class ObjectStorage:
    """A running server; tests make buckets of their own."""

    endpoint: str
    client: Any
    """A client of boto3, for tests to look and to damage."""
    log: Path

    def bucket(self, name: str) -> str:
        """Make an empty bucket, and return its name."""
        self.client.create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str) -> list[str]:
        """The keys of all objects in a bucket."""
        return list(self.entity_tags(bucket))

    def entity_tags(self, bucket: str) -> dict[str, str]:
        """The MD5 of each object in a bucket, by its key; objects that came in parts have another tag."""
        pages = self.client.get_paginator('list_objects_v2').paginate(Bucket=bucket)
        return {each['Key']: each['ETag'].strip('"') for page in pages for each in page.get('Contents', ())}

    def read(self, bucket: str, key: str) -> bytes:
        """The content of an object."""
        content: bytes = self.client.get_object(Bucket=bucket, Key=key)['Body'].read()
        return content

    def copy_to(self, bucket: str, directory: Path) -> None:
        """Copy all objects to files named like their keys, as `aws s3 sync` does."""
        for key in self.keys(bucket):
            path = directory / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.read(bucket, key))


def localstack_environment() -> Path:
    """The cached environment, made by the first who asks (about a minute)."""
    return built_once('localstack', VERSION, _install)


@contextmanager
def object_storage() -> Iterator[ObjectStorage]:
    """An empty server on the loopback address."""
    python = localstack_environment() / 'bin/python'
    with service_directory('localstack') as directory:
        address = f'{LOOPBACK}:{free_port()}'
        with running([str(python), '-m', 'localstack.runtime.main'], log=directory / 'log',
                     environment=_environment(directory, address), ready=lambda: _answers(address)):
            with _documents_kept():
                yield ObjectStorage(f'http://{address}', _client(f'http://{address}'), directory / 'log')


@contextmanager
def _documents_kept() -> Iterator[None]:
    """Have botocore read each of its large documents once, in this process, where each client would read them anew."""
    from botocore.loaders import JSONFileLoader
    read = cache(JSONFileLoader().load_file)
    with patch.object(JSONFileLoader, 'load_file', lambda _, path: read(path)):
        yield


def _environment(directory: Path, address: str) -> dict[str, str]:
    # Its default server listens on all addresses, whatever it is told.
    return {'PATH': '/usr/bin:/bin', 'HOME': str(directory), 'XDG_CACHE_HOME': str(directory),
            'TMPDIR': str(directory), 'LOCALSTACK_VOLUME_DIR': str(directory), 'GATEWAY_LISTEN': address,
            'GATEWAY_SERVER': 'hypercorn', 'SERVICES': 's3', 'STRICT_SERVICE_LOADING': '1', 'DISABLE_EVENTS': '1',
            'SKIP_SSL_CERT_DOWNLOAD': '1', 'DNS_ADDRESS': '0', 'LS_LOG': 'warning'}


def _install(directory: Path) -> None:
    venv.create(directory, symlinks=True)
    command = [sys.executable, '-m', 'pip', '--python', directory / 'bin/python', 'install', '--quiet', '--no-deps',
               '--only-binary', ':all:', '--disable-pip-version-check', '--requirement', REQUIREMENTS]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ServiceUnavailable(f'LocalStack cannot be installed: {done.stderr.strip()[-300:]}')


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f'http://{address}/_localstack/health', timeout=5):
            return True
    except OSError:
        return False


def _client(endpoint: str) -> Any:
    import boto3
    from botocore.config import Config
    return boto3.client('s3', endpoint_url=endpoint, region_name='us-east-1', aws_access_key_id='tester',
                        aws_secret_access_key='correct horse', config=Config(s3={'addressing_style': 'path'}))
