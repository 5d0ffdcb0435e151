"""What an S3 server or boto3 answers, as the store's errors.

Codes are those of the S3 API reference ("List of error codes") and of the servers that are
not AWS. A HEAD has no body, so there the HTTP status stands in for the code.
"""

from __future__ import annotations

from boto3.s3.transfer import S3TransferRetriesExceededError
from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import URLLib3ProtocolError

from common.errors import ObjectMissing, StoreError, StoreFull, StoreRefused, StoreUnreachable
from common.text import without_login

#: Everything that a request through boto3 raises, but for errors of the local disk.
FAILURES = (ClientError, BotoCoreError, S3TransferRetriesExceededError, URLLib3ProtocolError)

MISSING = {"404", "NoSuchKey"}
FORBIDDEN = {"403", "AccessDenied", "Forbidden"}
BEYOND_THE_END = {"416", "InvalidRange"}
FULL = {"507", "InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"}
BUSY = {"429", "SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequests"}
LOGIN = {
    "400",  # a HEAD with a bad or expired token
    "401",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
}
#: Of an object that a lifecycle rule has moved to archive storage: its bytes are not at hand.
COLD = {"InvalidObjectState"}
REGION = {"301", "PermanentRedirect", "AuthorizationHeaderMalformed"}

BROKEN_OFF = (
    boto.IncompleteReadError,
    boto.ReadTimeoutError,
    boto.ResponseStreamingError,
    URLLib3ProtocolError,  # of a body that is closed before its end
)
LOST = (
    boto.ConnectionError,
    boto.HTTPClientError,
    boto.IncompleteReadError,
    boto.ResponseStreamingError,
    S3TransferRetriesExceededError,
    URLLib3ProtocolError,
)
NO_LOGIN = (
    boto.CredentialRetrievalError,
    boto.LoginError,
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.ProfileNotFound,
    boto.SSOError,
    boto.TokenRetrievalError,
)

#: What we do, as messages name it, and the right it needs.
RIGHTS = {
    "write": "s3:PutObject",
    "read": "s3:GetObject (and s3:ListBucket: without it, what is missing is refused too)",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}

CHECK_SERVER = "check that the server runs and that AWS_ENDPOINT_URL_S3 is its address"
UNTRUSTED = (
    "where a CA of your own has signed the server's certificate, name it in AWS_CA_BUNDLE: "
    "/path/ca.pem"
)
CHECK_LOGIN = (
    "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), and this machine's clock"
)


def is_forbidden(error: Exception) -> bool:
    """Whether the server knows us and says no; InvalidAccessKeyId and the like are not that."""
    return _code(error) in FORBIDDEN


def is_beyond_the_end(error: Exception) -> bool:
    """Whether a range was asked for of an object that has no such bytes: an empty one."""
    return _code(error) in BEYOND_THE_END


def store_error(error: Exception, action: str, place: str) -> StoreError:
    """The StoreError for one of FAILURES: `place` says where and what was tried, `action` is
    a key of RIGHTS."""
    message = f"{place}: {_reason(error)}"
    if isinstance(error, ClientError):
        return _with_answer(error, action, message)
    return _without_answer(error, message)


def _without_answer(error: Exception, message: str) -> StoreError:
    if isinstance(error, boto.SSLError):
        return StoreUnreachable(message, hint=UNTRUSTED)
    if isinstance(error, LOST):
        return StoreUnreachable(message, hint=CHECK_SERVER)
    if isinstance(error, NO_LOGIN):
        return StoreRefused(message, hint=CHECK_LOGIN)
    return StoreError(message, hint="check the AWS_* settings and ~/.aws/config")


def _with_answer(error: ClientError, action: str, message: str) -> StoreError:
    code, status = _code(error), error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    if code in MISSING:
        return ObjectMissing(message)
    if code == "NoSuchBucket":
        return StoreRefused(message, hint="create the bucket, or name another in GRIDFARM_STORE")
    if code in FULL or status == 507:
        return StoreFull(message, hint="free space on the server, or raise the quota")
    if code in COLD:
        return StoreRefused(message, hint="it is in cold storage: restore the object first")
    if code in REGION:
        return StoreRefused(message, hint="set AWS_DEFAULT_REGION to the bucket's region")
    if code in LOGIN or status == 401:
        return StoreRefused(message, hint=CHECK_LOGIN)
    if code == "403":  # of a HEAD, which does not say why
        return StoreRefused(message, hint=f"{CHECK_LOGIN}; they need {RIGHTS[action]}")
    if code in FORBIDDEN or status == 403:
        return StoreRefused(message, hint=f"give these credentials the right {RIGHTS[action]}")
    if code in BUSY or status >= 500:
        return StoreUnreachable(message, hint="the server has trouble; try again later")
    return StoreError(message)


def _code(error: Exception) -> str:
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else ""


def _reason(error: Exception) -> str:
    """One line of what was answered, without a login that a URL in it may carry."""
    text = str(error)
    if isinstance(error, ClientError):
        text = f"{_code(error)} {error.response['Error'].get('Message', '')}"
    return without_login(" ".join(text.split()))[:300]
