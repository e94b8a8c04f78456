# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signed requests to one bucket, with botocore's signer, credentials and HTTP session, and without its clients.

A client of botocore spends twice the processor time on a request and its start, mostly for the models of services.
What is sent is signed with its sha256, so that the store refuses content that was damaged on the way. Over TLS, which
guards it too, content may go unsigned, as with AWS's own clients (Amazon S3 API reference, "Signature calculations for
the Authorization header: transferring payload in a single chunk").

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import os
import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit
from xml.etree import ElementTree

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import redact

from .port import BucketMissing, Buffer

BOTOCORE_IMPORT_ERROR: str | None = None
try:
    from botocore import exceptions as boto
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSPreparedRequest, AWSRequest, HeadersDict
    from botocore.credentials import Credentials
    from botocore.httpsession import URLLib3Session
    from botocore.session import Session
    from botocore.utils import get_environ_proxies

    class _Signer(S3SigV4Auth):
        def payload(self, request: Any) -> str:
            """Return the digest that is known already, where botocore would read the content once more."""
            sha256: str | None = request.context["sha256"]
            return sha256 or "UNSIGNED-PAYLOAD"

except ImportError:
    BOTOCORE_IMPORT_ERROR = traceback.format_exc()

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
# Seconds. One write of _BLOCK bytes at most waits for the second.
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 60
ATTEMPTS = 5
_BLOCK = 1024 * 1024

# Answers that another try can change (Amazon S3 API reference, "Error responses"). The last three say that what
# arrived is not what was sent.
_PASSING_STATUS = {429, 500, 502, 503, 504}
_PASSING_CODES = {
    "InternalError",
    "OperationAborted",
    "ConditionalRequestConflict",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "BadDigest",
    "IncompleteBody",
    "XAmzContentSHA256Mismatch",
}
_CREDENTIALS = "check access_key, secret_key, session_token or profile"
# By S3 error code: what is wrong and what to change.
_REFUSALS = {
    "InvalidAccessKeyId": f"does not know the access key; {_CREDENTIALS}",
    "SignatureDoesNotMatch": f"does not accept the signature, so the secret key is wrong; {_CREDENTIALS}",
    "ExpiredToken": "says that the session token has expired; get new temporary credentials",
    "InvalidToken": f"does not accept the session token; {_CREDENTIALS}",
    "AccessDenied": "denies access; give the key the right to list, read, write and delete in this bucket",
    "RequestTimeTooSkewed": "finds this machine's clock too far from its own; set the clock",
    "PermanentRedirect": "keeps the bucket in another region; set region and endpoint_url to that of the bucket",
    "AuthorizationHeaderMalformed": "expects another region; set region to that of the bucket",
    "IllegalLocationConstraintException": "keeps the bucket in another region; set region to that of the bucket",
    "SlowDown": "asks for fewer requests; run again later, or set connections to fewer",
    "QuotaExceeded": "has no room left in this bucket; free some or raise its quota",
    "EntityTooLarge": "does not take objects as large as this; split the file",
}
_REFUSALS["XAdminUserNotFound"] = _REFUSALS["InvalidAccessKeyId"]  # versitygw's name for it
_REFUSALS["403"] = _REFUSALS["AccessDenied"]


@dataclass(frozen=True)
class S3Options:
    """How to reach a store; None leaves a choice to botocore. ca_bundle: path of a PEM file."""

    bucket: str
    endpoint_url: str | None = None
    region: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    validate_certs: bool = True
    ca_bundle: str | None = None
    addressing_style: str = "auto"
    connections: int = 8

    @property
    def place(self) -> str:
        """The store as people know it."""
        return "Amazon S3" if self.on_aws else str(self.endpoint_url)

    @property
    def by_tls(self) -> bool:
        """Whether what is sent reaches nobody but the store, and as it was sent."""
        return self.validate_certs and _split(self.endpoint_url).scheme == "https"

    @property
    def on_aws(self) -> bool:
        """Whether the endpoint is Amazon's own."""
        host = _split(self.endpoint_url).hostname or ""
        return not self.endpoint_url or host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


class Refused(KServeError):
    """The store's answer is an error; code: its S3 error code, or its HTTP status where it has none."""

    REASON = "StoreRefused"

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; the names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def xml(self) -> ElementTree.Element:
        """The body as XML, without its namespace, which stores do not agree on."""
        root = ElementTree.fromstring(self.body)
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root


class S3Client:
    """Requests to one bucket; each method may be called from several threads.

    options: with endpoint and region; credentials: of botocore; send: sends a prepared request of botocore and returns
    its answer; close: closes the connections.
    """

    def __init__(
        self,
        options: S3Options,
        credentials: Any,
        send: Callable[[Any], Any],
        sleep: Callable[[float], None] = time.sleep,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.options = options
        self._credentials = credentials
        self._send = send
        self._sleep = sleep
        self.close = close
        self._url = bucket_url(str(options.endpoint_url), options.bucket, options.addressing_style)
        self._lock = threading.Lock()
        self.requests = 0

    def request(
        self,
        method: str,
        key: str = "",
        query: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        content: Buffer = b"",
        sha256: str | None = EMPTY_SHA256,
    ) -> Answer:
        """Send a request, again and with growing pauses while another try can help.

        :param key: of the object; the bucket itself without it.
        :param query: parameters of the URL.
        :param sha256: hexadecimal digest of the content, None to send it unsigned.
        :raises BucketMissing: there is no such bucket.
        :raises Refused: the answer is an error.
        :raises KServeError: there is no answer.
        """
        url = f"{self._url}/{quote(key, safe='/-_.~')}"
        if query:
            url += "?" + "&".join(
                f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(query.items())
            )
        with _explained(self.options):
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    answer = self._once(method, url, headers or {}, content, sha256)
                except boto.SSLError:
                    raise
                except (boto.HTTPClientError, boto.ConnectionError):
                    if attempt == ATTEMPTS:
                        raise
                else:
                    code = _error_code(method, answer)
                    if code is None:
                        return answer
                    if attempt == ATTEMPTS or not (answer.status in _PASSING_STATUS or code in _PASSING_CODES):
                        raise self._refusal(method, key, code, answer)
                # Half of it at random, so that many threads do not come back at once.
                self._sleep(min(8.0, 0.25 * 2**attempt) * random.uniform(0.5, 1))
        raise AssertionError("the last attempt returns or raises")

    def _once(self, method: str, url: str, headers: Mapping[str, str], content: Buffer, sha256: str | None) -> Answer:
        with self._lock:
            self.requests += 1
        request = AWSRequest(method, url, headers)
        request.headers["Content-Length"] = str(len(content))
        request.context["sha256"] = sha256
        # Frozen: keys that botocore renews do not change between two of their uses.
        _Signer(self._credentials.get_frozen_credentials(), "s3", str(self.options.region)).add_auth(request)
        body: Any = content or None
        if len(content) > _BLOCK:
            # A timeout counts for one write to the socket, so that a slow line needs many.
            view = memoryview(content)
            body = [view[start : start + _BLOCK] for start in range(0, len(view), _BLOCK)]
        signed: Any = HeadersDict(request.headers.items())
        answer = self._send(AWSPreparedRequest(method, url, signed, body, False))
        found = {name.lower(): value for name, value in answer.headers.items()}
        if len(answer.content) < int(found.get("content-length", 0)):
            raise boto.ConnectionClosedError(endpoint_url=url)
        return Answer(answer.status_code, found, answer.content)

    def _refusal(self, method: str, key: str, code: str, answer: Answer) -> KServeError:
        options = self.options
        if code == "NoSuchBucket":
            return BucketMissing(
                f"There is no bucket {options.bucket} at {options.place}; create it, set bucket, or set create_bucket."
            )
        if code in _REFUSALS:
            # AWS tells where a bucket is to whoever asks in another region.
            region = answer.headers.get("x-amz-bucket-region")
            bucket = f"bucket {options.bucket} in {region}" if region else f"bucket {options.bucket}"
            return Refused(f"{options.place} {_REFUSALS[code]} ({bucket}, {code}).", code)
        text = redact(_error_text(answer), *self._credentials.get_frozen_credentials()[:3])
        what = f"{method} {key or options.bucket}"
        return Refused(f"{options.place} refused {what} in bucket {options.bucket} with {code}: {text}", code)


def connect(options: S3Options) -> S3Client:
    """Return a client; nothing is sent yet.

    :raises KServeError: the profile, endpoint or certificate bundle is not usable.
    """
    with _explained(options):
        session = Session(profile=options.profile)
        options = _completed(options, session)
        endpoint = str(options.endpoint_url)
        credentials: Any
        if options.access_key and options.secret_key:
            credentials = Credentials(options.access_key, options.secret_key, options.session_token)
        else:
            credentials = session.get_credentials()
        if credentials is None:
            raise boto.NoCredentialsError
        parts = _split(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise KServeError(
                f"The endpoint_url {endpoint} is not valid; give one such as https://fra1.digitaloceanspaces.com.",
                reason="InvalidOption",
            )
        if options.validate_certs and options.ca_bundle:
            Path(options.ca_bundle).open("rb").close()  # botocore tells it only at the first request, and not by name
        verify: Any = (options.ca_bundle or True) if options.validate_certs else False
        timeout: Any = (CONNECT_TIMEOUT, READ_TIMEOUT)
        http = URLLib3Session(
            verify=verify,
            proxies=get_environ_proxies(endpoint),
            timeout=timeout,
            max_pool_connections=options.connections + 1,
        )
    return S3Client(options, credentials, http.send, close=http.close)


def bucket_url(endpoint: str, bucket: str, style: str) -> str:
    """Return the bucket's URL, with its name in the host or in the path.

    C(auto) takes the path where the name in front of the host would make no name that a resolver knows or that a
    certificate with a wildcard covers.
    """
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if style == "path" or (style == "auto" and ("." in bucket or "." not in host or _is_address(host))):
        return f"{endpoint}/{bucket}"
    return f"{parts.scheme}://{bucket}.{parts.netloc}{parts.path}"


def _completed(options: S3Options, session: Any) -> S3Options:
    """Fill in endpoint, region and authorities where they are not given, from the configuration that AWS's tools read.

    :param session: of botocore.
    """
    region = options.region or session.get_config_variable("region") or "us-east-1"
    profile = session.get_scoped_config()
    services = session.full_config.get("services", {}).get(profile.get("services"), {})
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    endpoint = (
        options.endpoint_url
        or services.get("s3", {}).get("endpoint_url")
        or profile.get("endpoint_url")
        or f"https://s3.{region}.{suffix}"
    )
    bundle = options.ca_bundle or session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    return replace(options, endpoint_url=endpoint.rstrip("/"), region=region, ca_bundle=bundle)


def _split(endpoint: str | None) -> SplitResult:
    """Return the parts of a URL, all of them empty where it is none."""
    try:
        return urlsplit(endpoint or "")
    except ValueError:
        return urlsplit("")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _error_code(method: str, answer: Answer) -> str | None:
    """Return what kind of error an answer is, or None."""
    if answer.status < 300 and (method != "POST" or b"<Error" not in answer.body[:1024]):
        # Only what takes long, and is asked for by POST, has its error behind a status that was sent before.
        return None
    try:
        return answer.xml().findtext("Code") or str(answer.status)
    except ElementTree.ParseError:
        return str(answer.status)


def _error_text(answer: Answer) -> str:
    try:
        return answer.xml().findtext("Message") or ""
    except ElementTree.ParseError:
        return " ".join(answer.body[:200].decode(errors="replace").split())


def _masked(text: str, options: S3Options) -> str:
    return redact(text, options.access_key, options.secret_key, options.session_token)


@contextmanager
def _explained(options: S3Options) -> Iterator[None]:
    """Turn every error of botocore into one sentence; its own text is used only where nothing better is known."""
    try:
        yield
    except boto.SSLError as error:
        raise KServeError(
            f"There is no trusted TLS connection to {options.place} ({_masked(_last(error), options)}); "
            "set ca_bundle to the authority that signed its certificate, or correct endpoint_url.",
            reason="CertificateNotTrusted",
        ) from None
    except (
        boto.EndpointConnectionError,
        boto.ConnectTimeoutError,
        boto.ProxyConnectionError,
        boto.ConnectionClosedError,
        boto.ReadTimeoutError,
    ):
        raise KServeError(
            f"{options.place} cannot be reached; check endpoint_url and the network.", reason="StoreUnreachable"
        ) from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError):
        raise KServeError(
            f"There are no whole credentials for {options.place}; {_CREDENTIALS}.", reason="CredentialsMissing"
        ) from None
    except boto.ProfileNotFound as error:
        name = error.kwargs["profile"]
        raise KServeError(
            f"The profile {name} is not configured; check profile or AWS_PROFILE.", reason="ProfileNotFound"
        ) from None
    except OSError as error:
        subject = error.filename or options.ca_bundle or "A file"
        raise KServeError(
            f"{subject} cannot be read: {error.strerror or _last(error)}; check the disk.", reason="FileNotReadable"
        ) from None
    except (boto.BotoCoreError, ElementTree.ParseError, ValueError) as error:
        text = _masked(_last(error), options)
        raise KServeError(
            f"{options.place} cannot be used: {text}; check endpoint_url and region.", reason="StoreUnusable"
        ) from None


def _last(error: BaseException) -> str:
    """The innermost cause on one line: urllib3 and botocore wrap it in their own text."""
    inner = error.kwargs.get("error") if isinstance(getattr(error, "kwargs", None), dict) else None  # type: ignore[attr-defined]
    return " ".join(str(inner or error).split())
