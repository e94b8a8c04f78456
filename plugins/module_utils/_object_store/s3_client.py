# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A boto3 client for one bucket, which turns botocore's errors into messages that say what to change.

Requests go through boto3's ordinary client. Its client of the AWS Common Runtime (boto3[crt]) takes no endpoint_url
and no ca_bundle, serves one process of a machine at a time, and cannot resume an interrupted upload.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.proxy import DEFAULT_PORTS, proxy_of
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import redact
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.url_credentials import (
    reject_credentials,
    without_credentials,
)

from .port import BucketMissing

BOTO3_IMPORT_ERROR: str | None = None
try:
    import boto3
    import urllib3
    from botocore import exceptions as boto
    from botocore.config import Config
    from botocore.loaders import create_loader
    from botocore.session import Session
except ImportError:
    BOTO3_IMPORT_ERROR = traceback.format_exc()

# Seconds.
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 60
ATTEMPTS = 5

# What boto3 signs besides Host and X-Amz-*.
_UNSIGNED = ("range", "if-none-match")
# Where a listing goes on.
_TOKENS = ("NextContinuationToken", "NextKeyMarker", "NextUploadIdMarker", "NextPartNumberMarker")

_CREDENTIALS = "check access_key, secret_key, session_token or profile"
# By S3 error code: what is wrong and what to change.
_ERRORS = {
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
_ERRORS["XAdminUserNotFound"] = _ERRORS["InvalidAccessKeyId"]  # versitygw's name for it
_ERRORS["403"] = _ERRORS["AccessDenied"]


@dataclass(frozen=True)
class S3Options:
    """How to reach an object store; None is boto3's default. ca_bundle: path of a PEM file."""

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
    def endpoint_name(self) -> str:
        """The object store's name in messages."""
        return "Amazon S3" if self.on_aws else without_credentials(str(self.endpoint_url))

    @property
    def on_aws(self) -> bool:
        """Whether the endpoint is Amazon's own."""
        host = _url_parts(self.endpoint_url).hostname or ""
        return not self.endpoint_url or host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


class Refused(KServeError):
    """The object store returned an error; code: its S3 error code, or the HTTP status if there is none."""

    REASON = "StoreRejected"

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class NotXML(KServeError):
    """An answer is not of S3, such as a proxy's page with status 200."""

    REASON = "StoreUnusable"

    def __init__(self, options: S3Options) -> None:
        super().__init__(
            f"{options.endpoint_name} answers with something else than the XML of S3; check endpoint_url and the proxy."
        )


class ListingBroken(KServeError):
    """A listing has more than it shows, and cannot be continued."""

    REASON = "StoreUnusable"

    def __init__(self, options: S3Options) -> None:
        super().__init__(
            f"{options.endpoint_name} lists a part of bucket {options.bucket} and not how to go on; update the store."
        )


class S3Client:
    """A boto3 client whose errors are KServeErrors; each method may be called from several threads.

    options: with the endpoint and region that boto3 has determined; client: boto3's; secrets: returns the strings to
    redact in messages.
    """

    def __init__(self, options: S3Options, client: Any, secrets: Callable[[], tuple[str | None, ...]] = tuple) -> None:
        self.options = options
        self.boto = client
        self._secrets = secrets
        self._lock = threading.Lock()
        self.requests = 0
        client.meta.events.register("before-send.s3", self._count)
        client.meta.events.register_last("before-parameter-build.s3.ListObjectsV2", _with_plain_names)
        client.meta.events.register("before-sign.s3", _set_unsigned_aside)
        client.meta.events.register_last("request-created.s3", _add_unsigned)

    def _count(self, **_event: Any) -> None:
        with self._lock:
            self.requests += 1

    def close(self) -> None:
        """Close the connections."""
        self.boto.close()

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation on the bucket and return its response.

        :param operation: the name of boto3's method.
        :raises BucketMissing: the bucket does not exist.
        :raises Refused: the object store returned an error.
        :raises KServeError: the object store returned no response.
        """
        with self._translated_errors(operation, parameters):
            response: dict[str, Any] = getattr(self.boto, operation)(Bucket=self.options.bucket, **parameters)
            return response

    def content(self, **parameters: Any) -> bytes:
        """Return the content of an object; boto3 retries a request, but not the reading of its body.

        :raises: see call.
        """
        with self._translated_errors("get_object", parameters):
            for attempt in range(1, ATTEMPTS + 1):
                body = self.boto.get_object(Bucket=self.options.bucket, **parameters)["Body"]
                try:
                    with body:
                        content: bytes = body.read()
                        return content
                # boto3 lets through what urllib3 says of TLS that breaks here.
                except (boto.HTTPClientError, boto.IncompleteReadError, urllib3.exceptions.HTTPError):
                    if attempt == ATTEMPTS:
                        raise
        raise AssertionError("the last attempt returns or raises")

    def pages(self, operation: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Return the pages of a listing, one by one.

        :raises: see call.
        """
        seen: list[list[Any]] = []
        with self._translated_errors(operation, parameters):
            for page in self.boto.get_paginator(operation).paginate(Bucket=self.options.bucket, **parameters):
                # boto3 only finds a token that is the same as the one before.
                token = [page.get(name) for name in _TOKENS]
                if page.get("IsTruncated") and token in seen:
                    raise ListingBroken(self.options)
                seen.append(token)
                yield page

    @contextmanager
    def _translated_errors(self, operation: str, parameters: Mapping[str, Any]) -> Iterator[None]:
        try:
            with translated_errors(self.options):
                yield
        except boto.ClientError as error:
            raise self._error(operation, parameters.get("Key", ""), error.response) from None

    def _error(self, operation: str, key: str, answer: Mapping[str, Any]) -> KServeError:
        options, code = self.options, str(answer.get("Error", {}).get("Code", ""))
        if code == "NoSuchBucket":
            return BucketMissing(
                f"There is no bucket {options.bucket} at {options.endpoint_name}; create it, set bucket, or set "
                "create_bucket."
            )
        if code in _ERRORS:
            # AWS names the bucket's region if a request arrives in another one.
            region = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
            bucket = f"bucket {options.bucket} in {region}" if region else f"bucket {options.bucket}"
            return Refused(f"{options.endpoint_name} {_ERRORS[code]} ({bucket}, {code}).", code)
        text = redact(answer.get("Error", {}).get("Message", ""), *self._secrets())
        what = f"{operation} {key}".rstrip()
        if code.isdigit() and code.startswith("5"):  # boto3's own also for a page behind status 200
            return Refused(
                f"{options.endpoint_name} failed, or answered {what} with something else than the XML of S3 ({code}); "
                "see that it works, and check endpoint_url and the proxy.",
                code,
            )
        return Refused(f"{options.endpoint_name} refused {what} in bucket {options.bucket} with {code}: {text}", code)


def _set_unsigned_aside(request: Any, **_event: Any) -> None:
    """Sign only what no proxy changes: one that caches drops Range and If-None-Match, which boto3 signs."""
    unsigned = [name for name in request.headers if name.lower() in _UNSIGNED]
    request.context["unsigned_headers"] = {name: request.headers[name] for name in unsigned}
    for name in unsigned:
        del request.headers[name]


def _add_unsigned(request: Any, **_event: Any) -> None:
    """Add what was set aside, once the request is signed."""
    for name, value in request.context.pop("unsigned_headers", {}).items():
        request.headers[name] = value


def _with_plain_names(params: dict[str, Any], context: Mapping[str, Any], **_event: Any) -> None:
    """Have names listed as they are: there are stores that say they are encoded, as boto3 asks, where they are not."""
    if context.get("encoding_type_auto_set"):
        params.pop("EncodingType", None)


def connect(options: S3Options) -> S3Client:
    """Return a client; nothing is sent yet.

    :raises KServeError: the profile, endpoint or certificate bundle is not usable.
    """
    with translated_errors(options):
        botocore_session = _session(options.profile)
        session: Any = boto3.Session(botocore_session=botocore_session)
        credentials: dict[str, Any] = {}
        if options.access_key and options.secret_key:
            credentials = {
                "aws_access_key_id": options.access_key,
                "aws_secret_access_key": options.secret_key,
                "aws_session_token": options.session_token,
            }
        elif session.get_credentials() is None:
            raise boto.NoCredentialsError
        bundle = options.ca_bundle or botocore_session.get_config_variable("ca_bundle")
        if options.validate_certs and bundle:
            Path(bundle).open("rb").close()  # boto3 would report it at the first request, without the path
        config = Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            max_pool_connections=options.connections + 1,
            # Unlike the other modes, it retries a corrupted upload (BadDigest) and a proxy's 429.
            retries={"mode": "legacy", "total_max_attempts": ATTEMPTS},
            # Few object stores other than AWS support checksums that an operation does not require.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3=_s3_config(options),
        )

        def client_with(proxies: dict[str, str] | None) -> Any:
            return session.client(
                "s3",
                endpoint_url=options.endpoint_url,
                region_name=options.region or session.region_name or "us-east-1",
                verify=bundle if options.validate_certs else False,
                config=config.merge(Config(proxies=proxies)),
                **credentials,
            )

        # boto3 reads the proxies of the environment, too, but knows no network in NO_PROXY.
        client = client_with(_proxies(options.endpoint_url, options.bucket) if options.endpoint_url else None)
        # The configuration of boto3 may have an endpoint, too.
        reject_credentials("endpoint_url", client.meta.endpoint_url, "set access_key and secret_key")
        if not options.endpoint_url and any(name.lower().endswith("_proxy") for name in os.environ):
            # Only a client tells the endpoint that boto3 chooses.
            client = client_with(_proxies(client.meta.endpoint_url, options.bucket))
        found = replace(options, endpoint_url=client.meta.endpoint_url, region=client.meta.region_name)
    return S3Client(found, client, lambda: _secrets(options, session))


def _proxies(endpoint: str, bucket: str) -> dict[str, str]:
    """Return the proxy by the URL's scheme, or nothing; the bucket may be a part of the host name."""
    parts = _url_parts(endpoint)
    host = parts.hostname or ""
    port = parts.port or DEFAULT_PORTS.get(parts.scheme, 80)
    proxy = proxy_of(parts.scheme, (host, f"{bucket}.{host}"), port, os.environ)
    return {parts.scheme: proxy} if proxy else {}


def _s3_config(options: S3Options) -> Any:
    """Return the S3 section of botocore's Config."""
    config: dict[str, Any] = {"addressing_style": options.addressing_style}
    # With verified TLS, a digest of the body in the signature would only cost time.
    verified_tls = options.validate_certs and (options.endpoint_url or "").startswith("https://")
    return config | {"payload_signing_enabled": False} if verified_tls else config


def preload() -> None:
    """Read botocore's descriptions of S3 and its endpoints, which a client needs and which take 0.1 s.

    Ansible forks the process of each task: what its parent has read, no task reads again.
    """
    loader = _loader()
    for description in ("service-2", "endpoint-rule-set-1"):
        loader.load_service_model("s3", description)
    for data in ("_retry", "endpoints", "partitions", "sdk-default-configuration"):
        loader.load_data(data)


@cache
def _loader() -> Any:
    """Return the loader that all sessions share, since it keeps what it has read."""
    return create_loader()


def _session(profile: str | None) -> Any:
    session = Session(profile=profile)
    session.register_component("data_loader", _loader())
    return session


def _secrets(options: S3Options, session: Any) -> tuple[str | None, ...]:
    """Return the strings to redact in messages."""
    if options.access_key:
        return options.access_key, options.secret_key, options.session_token
    return tuple(session.get_credentials().get_frozen_credentials())[:3]


def _url_parts(endpoint: str | None) -> SplitResult:
    """Return the parts of a URL; they are empty if it is not valid."""
    try:
        return urlsplit(endpoint or "")
    except ValueError:
        return urlsplit("")


def _redacted(text: str, options: S3Options) -> str:
    return redact(text, options.access_key, options.secret_key, options.session_token)


@contextmanager
def translated_errors(options: S3Options) -> Iterator[None]:
    """Translate the errors of boto3 into messages, except for the error responses of the object store."""
    try:
        yield
    except boto.ClientError:
        raise
    except boto.SSLError as error:
        text = _redacted(_cause(error), options)
        if _is_untrusted(error):
            raise KServeError(
                f"The certificate of {options.endpoint_name} is not trusted ({text}); set ca_bundle to the authority "
                "that signed it, or correct endpoint_url.",
                reason="CertificateNotTrusted",
            ) from None
        raise KServeError(
            f"There is no TLS connection to {options.endpoint_name} ({text}); check the network, and that endpoint_url "
            "is of a port that speaks TLS.",
            reason="StoreUnreachable",
        ) from None
    except (
        boto.EndpointConnectionError,
        boto.ConnectTimeoutError,
        boto.ProxyConnectionError,
        boto.ConnectionClosedError,
        boto.ReadTimeoutError,
        boto.ResponseStreamingError,
        boto.IncompleteReadError,
        urllib3.exceptions.HTTPError,
    ):
        raise KServeError(
            f"{options.endpoint_name} cannot be reached; check endpoint_url and the network.", reason="StoreUnreachable"
        ) from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError):
        raise KServeError(
            f"The credentials are incomplete or missing for {options.endpoint_name}; {_CREDENTIALS}.",
            reason="CredentialsMissing",
        ) from None
    except boto.ProfileNotFound as error:
        name = error.kwargs["profile"]
        raise KServeError(
            f"The profile {name} is not configured; check profile or AWS_PROFILE.", reason="ProfileNotFound"
        ) from None
    except OSError as error:
        subject = error.filename or options.ca_bundle or "A file"
        raise KServeError(
            f"{subject} cannot be read: {error.strerror or _cause(error)}; check the disk.", reason="FileNotReadable"
        ) from None
    except boto.BotoCoreError as error:
        text = _redacted(_cause(error), options)
        raise KServeError(
            f"{options.endpoint_name} cannot be used: {text}; check endpoint_url and region.", reason="StoreUnusable"
        ) from None
    except ValueError:
        raise KServeError(
            f"The endpoint_url {options.endpoint_name} is not valid; give one such as https://fra1.digitaloceanspaces.com.",
            reason="InvalidOption",
        ) from None


def _is_untrusted(error: Any) -> bool:
    """Return whether the certificate was rejected: botocore wraps an error of urllib3, which wraps the cause."""
    inner = error.kwargs.get("error")
    # Python's error for an untrusted CA and urllib3's for a wrong host name are ValueErrors; a lost connection is not.
    return any(isinstance(cause, ValueError) for cause in (inner, *getattr(inner, "args", ())))


def _cause(error: BaseException) -> str:
    """The innermost cause on one line: urllib3 and botocore wrap it in their own text."""
    inner = error.kwargs.get("error") if isinstance(getattr(error, "kwargs", None), dict) else None  # type: ignore[attr-defined]
    return " ".join(str(inner or error).split())
