"""Interpreting failed requests: which may be temporary, and a message of one line."""
import re
from collections.abc import Mapping
from typing import Any

from occystrap_core import AccessDenied, OccystrapError, ServiceError, ServiceUnavailable, UsageError
from occystrap_core.files import TooManyRequests

_Kind = type[OccystrapError]
_CREDENTIALS = 'see `aws configure`, AWS_ACCESS_KEY_ID, AWS_PROFILE or profile='
ARCHIVED = 'the object is archived; restore it first'
_REGION = 'give region= with the region of the bucket'
_CODES: Mapping[str, tuple[_Kind, str]] = {
    'NoSuchBucket': (ServiceError, 'there is no such bucket; create it, or correct the name, endpoint or profile'),
    'InvalidBucketName': (UsageError, 'no bucket can have this name; correct it'),
    'AccessDenied': (AccessDenied, 'access denied; the credentials need s3:ListBucket, s3:GetObject and, to write, '
                                   's3:PutObject and s3:AbortMultipartUpload'),
    'AllAccessDisabled': (AccessDenied, 'access to the bucket is disabled; ask its owner'),
    'InvalidAccessKeyId': (AccessDenied, f'the access key is unknown there; {_CREDENTIALS}'),
    'SignatureDoesNotMatch': (AccessDenied, f'the secret key is wrong; {_CREDENTIALS}'),
    'ExpiredToken': (AccessDenied, 'the session has expired; log in again, for example with `aws sso login`'),
    'InvalidToken': (AccessDenied, f'the session token is wrong; {_CREDENTIALS}'),
    'TokenRefreshRequired': (AccessDenied, 'the session has expired; log in again, for example with `aws sso login`'),
    'RequestTimeTooSkewed': (ServiceError, 'the clocks of this machine and of the server differ; set the clock of this '
                                           'machine'),
    'PermanentRedirect': (ServiceError, f'the bucket is in another region; {_REGION}'),
    'TemporaryRedirect': (ServiceError, f'the bucket is in another region; {_REGION}'),
    'AuthorizationHeaderMalformed': (ServiceError, f'the bucket is in another region; {_REGION}'),
    'IllegalLocationConstraintException': (ServiceError, f'the bucket is in another region; {_REGION}'),
    'SlowDown': (TooManyRequests, 'the server asks for fewer requests; try again with fewer --jobs or --images, or '
                                  'with --rate-limit'),
    'BadDigest': (ServiceError, 'the server refused bytes whose sha256 had changed on the way; check the network and '
                                'proxies'),
    'XAmzContentChecksumMismatch': (ServiceError, 'the server refused bytes whose sha256 had changed on the way; check '
                                                  'the network and proxies'),
    'EntityTooLarge': (ServiceError, 'the server does not accept an object of this size in one request; lower '
                                     'multipart='),
    'KeyTooLongError': (UsageError, 'the key would be too long; give a shorter prefix or name'),
    'QuotaExceeded': (ServiceError, 'the quota of the bucket is used up; make room'),
    'InvalidObjectState': (ServiceError, ARCHIVED),
}
_STATUS = {'301': 'PermanentRedirect', '307': 'TemporaryRedirect', '403': 'AccessDenied', '429': 'SlowDown',
           '503': 'SlowDown'}
"""Error codes for statuses, since answers to HEAD have no body."""
_PASSING = {'SlowDown', 'RequestTimeout', 'BadDigest', 'XAmzContentChecksumMismatch', 'OperationAborted',
            'ConditionalRequestConflict', 'Throttling', 'ThrottlingException'}
_SECRET = re.compile(r'(?i)(signature|credential|security-token|secret)[=:]\S+')


def code_of(error: Exception) -> str:
    """Return the error code of a server's answer, its status if there is none; empty for other errors."""
    answer = getattr(error, 'response', None)
    code = str(answer.get('Error', {}).get('Code', '')) if isinstance(answer, dict) else ''
    return _STATUS.get(code, code)


def status_of(error: Exception) -> int:
    """Return the HTTP status of an answer, 0 without one."""
    answer: Any = getattr(error, 'response', None)
    return int(answer.get('ResponseMetadata', {}).get('HTTPStatusCode', 0)) if isinstance(answer, dict) else 0


def is_missing(error: Exception) -> bool:
    """Return whether the answer means that the object or, for HEAD, the bucket does not exist."""
    return code_of(error) in ('NoSuchKey', '404', 'NotFound')


def is_conflict(error: Exception) -> bool:
    """Return whether a condition of the request did not hold."""
    return status_of(error) == 412 or code_of(error) == 'PreconditionFailed'


def lacks_conditions(error: Exception) -> bool:
    """Return whether the server does not support conditional writes."""
    return status_of(error) == 501 or code_of(error) == 'NotImplemented'


def may_pass(error: Exception) -> bool:
    """Return whether the same request may succeed a little later."""
    if status := status_of(error):
        return code_of(error) in _PASSING or status == 429 or (status >= 500 and status != 501)
    from botocore import exceptions
    from urllib3.exceptions import HTTPError
    if isinstance(error, (exceptions.SSLError, exceptions.InvalidProxiesConfigError)):
        return False
    return isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError,
                              HTTPError, TooSlow, CutShort))


def explain(error: Exception, where: str, endpoint: str) -> OccystrapError:
    """Return the error for a request that finally failed; `where` is what was requested, in the user's terms."""
    if not status_of(error):
        return explain_library(error, endpoint, where)
    code = code_of(error)
    kind, words = _CODES.get(code, (ServiceError, ''))
    if words:
        found = kind(f'{where}: {words}{_there(error)}')
        if isinstance(found, TooManyRequests):
            found.host = endpoint
        return found
    if status_of(error) >= 500:
        return ServiceUnavailable(f'{where}: the server answers {status_of(error)} {code}; try again later')
    said = getattr(error, 'response', {}).get('Error', {}).get('Message', '')
    return ServiceError(f'{where}: the server answers {status_of(error)} {code}: {_plain(said)}')


def explain_library(error: Exception, endpoint: str, where: str = 's3://') -> OccystrapError:
    """Return the error for an exception that boto3 raises without an answer of the server."""
    from botocore import exceptions
    if isinstance(error, exceptions.ProfileNotFound):
        return UsageError(f'{where}: {error}; see ~/.aws/config')
    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
        return AccessDenied(f'{where}: there are no credentials; {_CREDENTIALS}')
    if isinstance(error, (exceptions.CredentialRetrievalError, exceptions.SSOError, exceptions.TokenRetrievalError)):
        return AccessDenied(f'{where}: the credentials cannot be obtained: {_plain(str(error))}; log in again')
    if isinstance(error, exceptions.SSLError):
        return ServiceUnavailable(f'{where}: {endpoint} has no trusted certificate: {_plain(str(error))}; give '
                                  '--ca-file or AWS_CA_BUNDLE')
    if isinstance(error, (exceptions.ReadTimeoutError, exceptions.ConnectTimeoutError)):
        return ServiceUnavailable(f'{where}: {endpoint} did not answer in time; try again later, or with a longer '
                                  '--timeout')
    if isinstance(error, exceptions.EndpointConnectionError):
        return ServiceUnavailable(f'{where}: {endpoint} cannot be reached; check endpoint=, AWS_ENDPOINT_URL and the '
                                  'network')
    if isinstance(error, TooSlow):
        return ServiceUnavailable(f'{where}: {endpoint} {error}')
    if may_pass(error):
        return ServiceUnavailable(f'{where}: the connection to {endpoint} was cut; try again later')
    return ServiceError(f'{where}: {_plain(str(error))}')


class TooSlow(Exception):
    """A body moves below the least rate."""


class CutShort(Exception):
    """A body ended before its length."""


def _there(error: Exception) -> str:
    """Return where the bucket is, if the answer reports that."""
    answer = getattr(error, 'response', {})
    region = (answer.get('ResponseMetadata', {}).get('HTTPHeaders', {}).get('x-amz-bucket-region')
              or answer.get('Error', {}).get('Region'))
    return f' ({_plain(str(region))})' if region else ''


def _plain(text: str) -> str:
    """Return one line without secrets."""
    return _SECRET.sub(r'\1=…', ' '.join(text.split()))[:300].rstrip('.')
