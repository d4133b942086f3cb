"""Connecting to a server: boto3 finds credentials and sends requests. Only this module imports boto3."""
import os
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from occystrap_core import Settings, UsageError
from occystrap_s3.bucket.failures import explain_library

_ENDPOINTS = ('AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL')
_CONNECTIONS = 64
"""Number of connections that are kept; even if the run has more threads, others wait."""


class Connection(NamedTuple):
    """How a server is reached: its address, None for Amazon's; a region and a profile, None for what boto3 finds."""

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Return the connection of a location; raises UsageError for an endpoint that is not an address."""
        endpoint = options.get('endpoint') or endpoint_of_environment()
        if endpoint and (not endpoint.startswith(('http://', 'https://')) or '@' in endpoint):
            raise UsageError('the endpoint of s3:// must be an address such as https://minio.example:9000, without '
                             'user and password: boto3 reads AWS_ACCESS_KEY_ID, or profile=')
        return cls(endpoint, options.get('region'), options.get('profile'))

    @property
    def given(self) -> dict[str, str]:
        """The options that lead to the same server."""
        return {name: text for name, text in self._asdict().items() if text is not None}

    def client(self, settings: Settings) -> Any:
        """Return the client for all buckets of the server, one for the whole process; raises ServiceError."""
        return settings.shared.lasting.get((Connection, self), lambda: self._made(settings))

    def _made(self, settings: Settings) -> Any:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
        from occystrap_s3.bucket.limited_session import LimitedSession
        connect = min(settings.timeout, 30)
        try:
            core = Session()
            session = boto3.session.Session(profile_name=self.profile, region_name=self.region, botocore_session=core)
            config = Config(connect_timeout=connect, read_timeout=settings.timeout,
                            retries={'total_max_attempts': 1}, max_pool_connections=_CONNECTIONS,
                            request_checksum_calculation='when_required', response_checksum_validation='when_required',
                            s3=self._addressing())
            client = session.client('s3', endpoint_url=self.endpoint, config=config, verify=settings.ca_file)
            trusted = settings.ca_file or core.get_config_variable('ca_bundle')
            limited = LimitedSession(client.meta.endpoint_url, trusted, connect, settings.timeout, _CONNECTIONS)
            client.meta.events.register('before-send.s3', limited.send)
            return client
        except (BotoCoreError, ValueError) as error:
            raise explain_library(error, self.endpoint or 'S3') from None

    def _addressing(self) -> dict[str, Any]:
        """Return how buckets are addressed: by path unless the server is Amazon's, since few others have a host name
        for each.

        The payload is not hashed again for the signature, which covers x-amz-checksum-sha256.
        """
        return {'payload_signing_enabled': False, **({'addressing_style': 'path'} if self.endpoint else {})}


def endpoint_of_environment() -> str | None:
    """Return the address that boto3 would take from the environment, so that receipts can record it."""
    if os.environ.get('AWS_IGNORE_CONFIGURED_ENDPOINT_URLS', '').lower() == 'true':
        return None
    return next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)
