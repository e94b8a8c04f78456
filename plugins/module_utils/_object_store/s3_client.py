# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client of boto3 for one bucket, and what its errors mean to people.

Requests go through boto3's ordinary client. Its client of the AWS Common Runtime (boto3[crt]) takes no endpoint_url
and no ca_bundle, serves one process of a machine at a time, and cannot go on with what an earlier run has sent.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.proxy import proxy_of
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import redact

from .port import BucketMissing

BOTO3_IMPORT_ERROR: str | None = None
try:
    import boto3
    import urllib3
    from botocore import exceptions as boto
    from botocore.config import Config
    from botocore.loaders import create_loader
    from botocore.session import Session

    # What boto3 knows of S3 takes 0.1 s to read. Ansible forks the process of each task from one that has imported
    # this, so that it is read once for all of them, where the loader keeps it.
    _LOADER = create_loader()
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
    """How to reach a store; None leaves a choice to boto3. ca_bundle: path of a PEM file."""

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


class NotXML(KServeError):
    """An answer is not of S3, such as a proxy's page with status 200."""

    REASON = "StoreUnusable"

    def __init__(self, options: S3Options) -> None:
        super().__init__(
            f"{options.place} answers with something else than the XML of S3; check endpoint_url and the proxy."
        )


class ListingBroken(KServeError):
    """A listing has more than it shows, and cannot be continued."""

    REASON = "StoreUnusable"

    def __init__(self, options: S3Options) -> None:
        super().__init__(
            f"{options.place} lists a part of bucket {options.bucket} and not how to go on; update the store."
        )


class S3Client:
    """A client of boto3 whose errors are sentences; each method may be called from several threads.

    options: with the endpoint and region that boto3 has found; boto: the client of boto3; secrets: gives what no
    message may hold.
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
        """Ask for an operation of the bucket and return its answer.

        :param operation: the name of boto3's method.
        :raises BucketMissing: there is no such bucket.
        :raises Refused: the answer is an error.
        :raises KServeError: there is no answer.
        """
        with self._explained(operation, parameters):
            found: dict[str, Any] = getattr(self.boto, operation)(Bucket=self.options.bucket, **parameters)
            return found

    def content(self, **parameters: Any) -> bytes:
        """Return what get_object gives; boto3 tries a request again, but not the reading of its answer.

        :raises: see call.
        """
        with self._explained("get_object", parameters):
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
        with self._explained(operation, parameters):
            for page in self.boto.get_paginator(operation).paginate(Bucket=self.options.bucket, **parameters):
                # boto3 only finds a token that is the same as the one before.
                token = [page.get(name) for name in _TOKENS]
                if page.get("IsTruncated") and token in seen:
                    raise ListingBroken(self.options)
                seen.append(token)
                yield page

    @contextmanager
    def _explained(self, operation: str, parameters: Mapping[str, Any]) -> Iterator[None]:
        try:
            with explained(self.options):
                yield
        except boto.ClientError as error:
            raise self._refusal(operation, parameters.get("Key", ""), error.response) from None

    def _refusal(self, operation: str, key: str, answer: Mapping[str, Any]) -> KServeError:
        options, code = self.options, str(answer.get("Error", {}).get("Code", ""))
        if code == "NoSuchBucket":
            return BucketMissing(
                f"There is no bucket {options.bucket} at {options.place}; create it, set bucket, or set create_bucket."
            )
        if code in _REFUSALS:
            # AWS tells where a bucket is to whoever asks in another region.
            region = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
            bucket = f"bucket {options.bucket} in {region}" if region else f"bucket {options.bucket}"
            return Refused(f"{options.place} {_REFUSALS[code]} ({bucket}, {code}).", code)
        text = redact(answer.get("Error", {}).get("Message", ""), *self._secrets())
        what = f"{operation} {key}".rstrip()
        if code.isdigit() and code.startswith("5"):  # boto3's own also for a page behind status 200
            return Refused(
                f"{options.place} failed, or answered {what} with something else than the XML of S3 ({code}); see that "
                "it works, and check endpoint_url and the proxy.",
                code,
            )
        return Refused(f"{options.place} refused {what} in bucket {options.bucket} with {code}: {text}", code)


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
    with explained(options):
        made = _session(options.profile)
        session: Any = boto3.Session(botocore_session=made)
        keys: dict[str, Any] = {}
        if options.access_key and options.secret_key:
            keys = {
                "aws_access_key_id": options.access_key,
                "aws_secret_access_key": options.secret_key,
                "aws_session_token": options.session_token,
            }
        elif session.get_credentials() is None:
            raise boto.NoCredentialsError
        bundle = options.ca_bundle or made.get_config_variable("ca_bundle")
        if options.validate_certs and bundle:
            Path(bundle).open("rb").close()  # boto3 tells it only at the first request, and not by name
        config = Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            max_pool_connections=options.connections + 1,
            # The mode that tries again what was damaged on its way (BadDigest) or was too much for a proxy (429).
            retries={"mode": "legacy", "total_max_attempts": ATTEMPTS},
            # Few stores besides AWS know other checksums than those which an operation requires.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3=_how(options),
        )

        def made_with(proxies: dict[str, str] | None) -> Any:
            return session.client(
                "s3",
                endpoint_url=options.endpoint_url,
                region_name=options.region or session.region_name or "us-east-1",
                verify=bundle if options.validate_certs else False,
                config=config.merge(Config(proxies=proxies)),
                **keys,
            )

        client = made_with(None)
        if any(name.lower().endswith("_proxy") for name in os.environ):
            # boto3 knows no network in NO_PROXY, and only now its endpoint is known.
            client = made_with(_proxies(client.meta.endpoint_url, options.bucket))
        found = replace(options, endpoint_url=client.meta.endpoint_url, region=client.meta.region_name)
    return S3Client(found, client, lambda: _secrets(options, session))


def _proxies(endpoint: str, bucket: str) -> dict[str, str]:
    """Return the proxy by the URL's scheme, or nothing; the bucket may be a part of the host name."""
    parts = _split(endpoint)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    proxy = proxy_of(parts.scheme, (host, f"{bucket}.{host}"), port, os.environ)
    return {parts.scheme: proxy} if proxy else {}


def _how(options: S3Options) -> Any:
    """Return what boto3 calls the settings of S3."""
    how: dict[str, Any] = {"addressing_style": options.addressing_style}
    # Where TLS guards what is sent, its digest in the signature would only cost time.
    guarded = options.validate_certs and (options.endpoint_url or "").startswith("https://")
    return how | {"payload_signing_enabled": False} if guarded else how


def _session(profile: str | None) -> Any:
    made = Session(profile=profile)
    made.register_component("data_loader", _LOADER)
    return made


def _secrets(options: S3Options, session: Any) -> tuple[str | None, ...]:
    """Return what no message may hold."""
    if options.access_key:
        return options.access_key, options.secret_key, options.session_token
    return tuple(session.get_credentials().get_frozen_credentials())[:3]


def _prepare() -> None:
    """Have the loader read what a client needs, by making one that is never used."""
    # What is wrong with the configuration is told to whoever needs it.
    with suppress(boto.BotoCoreError, ValueError):
        session = boto3.Session(botocore_session=_session(None))
        session.client("s3", "us-east-1", aws_access_key_id="none", aws_secret_access_key="none").close()


def _split(endpoint: str | None) -> SplitResult:
    """Return the parts of a URL, all of them empty where it is none."""
    try:
        return urlsplit(endpoint or "")
    except ValueError:
        return urlsplit("")


def _masked(text: str, options: S3Options) -> str:
    return redact(text, options.access_key, options.secret_key, options.session_token)


@contextmanager
def explained(options: S3Options) -> Iterator[None]:
    """Turn every error of boto3 but a refusal into one sentence; its own text only where nothing better is known."""
    try:
        yield
    except boto.ClientError:
        raise
    except boto.SSLError as error:
        text = _masked(_last(error), options)
        if _is_untrusted(error):
            raise KServeError(
                f"The certificate of {options.place} is not trusted ({text}); set ca_bundle to the authority that "
                "signed it, or correct endpoint_url.",
                reason="CertificateNotTrusted",
            ) from None
        raise KServeError(
            f"There is no TLS connection to {options.place} ({text}); check the network, and that endpoint_url is of "
            "a port that speaks TLS.",
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
            f"{options.place} cannot be reached; check endpoint_url and the network.", reason="StoreUnreachable"
        ) from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError):
        raise KServeError(
            f"The credentials are incomplete or missing for {options.place}; {_CREDENTIALS}.",
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
            f"{subject} cannot be read: {error.strerror or _last(error)}; check the disk.", reason="FileNotReadable"
        ) from None
    except boto.BotoCoreError as error:
        text = _masked(_last(error), options)
        raise KServeError(
            f"{options.place} cannot be used: {text}; check endpoint_url and region.", reason="StoreUnusable"
        ) from None
    except ValueError:
        raise KServeError(
            f"The endpoint_url {options.place} is not valid; give one such as https://fra1.digitaloceanspaces.com.",
            reason="InvalidOption",
        ) from None


def _is_untrusted(error: Any) -> bool:
    """Tell whether a certificate was not accepted: botocore wraps an error of urllib3, which wraps the cause."""
    inner = error.kwargs.get("error")
    # Python's error of a CA that is not trusted and urllib3's of another name are ValueErrors; what breaks is none.
    return any(isinstance(cause, ValueError) for cause in (inner, *getattr(inner, "args", ())))


def _last(error: BaseException) -> str:
    """The innermost cause on one line: urllib3 and botocore wrap it in their own text."""
    inner = error.kwargs.get("error") if isinstance(getattr(error, "kwargs", None), dict) else None  # type: ignore[attr-defined]
    return " ".join(str(inner or error).split())


if not BOTO3_IMPORT_ERROR:
    _prepare()
