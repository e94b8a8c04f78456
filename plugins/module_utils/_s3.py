# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An object store over boto3, for AWS and for stores that speak its protocol.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_folder import PART_SIZE, LocalFile
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_version import BucketMissing, StoredObject
from ansible_collections.hashfoundry.kserve.plugins.module_utils._redact import redact

BOTO3_IMPORT_ERROR: str | None = None
try:
    import boto3
    from boto3.exceptions import Boto3Error
    from botocore import exceptions as boto
    from botocore.config import Config
    from s3transfer.manager import TransferConfig, TransferManager
except ImportError:
    BOTO3_IMPORT_ERROR = traceback.format_exc()

_CREDENTIALS = "check access_key, secret_key, session_token or profile"
# By S3 error code (Amazon S3 API reference, "Error responses"): what is wrong and what to change.
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
    "SlowDown": "asks for fewer requests; run again later",
    "QuotaExceeded": "has no room left in this bucket; free some or raise its quota",
    "EntityTooLarge": "does not take objects as large as this; split the file",
}
_REFUSALS["XAdminUserNotFound"] = _REFUSALS["InvalidAccessKeyId"]  # versitygw's name for it
# HeadObject answers have no body, so botocore gives the status in place of a code.
_REFUSALS["403"] = _REFUSALS["Forbidden"] = _REFUSALS["AccessDenied"]


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

    @property
    def place(self) -> str:
        """The store as people know it."""
        return self.endpoint_url or "Amazon S3"

    @property
    def on_aws(self) -> bool:
        """Whether the endpoint is Amazon's own."""
        host = urlsplit(self.endpoint_url or "").hostname or ""
        return not self.endpoint_url or host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def client_config(options: S3Options) -> dict[str, Any]:
    """Return the keywords for botocore's Config."""
    config: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": 4},
        "connect_timeout": 10,
        "read_timeout": 60,
        "s3": {"addressing_style": options.addressing_style},
    }
    if not options.on_aws:
        # botocore sends CRC checksums by default that several S3-compatible stores refuse (boto3#4392).
        config.update(request_checksum_calculation="when_required", response_checksum_validation="when_required")
    return config


def connect(options: S3Options) -> S3Store:
    """Return the bucket; nothing is sent yet.

    :raises KServeError: the profile, endpoint, certificate bundle or region is not usable.
    """
    with _explained(options):
        session = boto3.session.Session(
            aws_access_key_id=options.access_key,
            aws_secret_access_key=options.secret_key,
            aws_session_token=options.session_token,
            profile_name=options.profile,
            region_name=options.region,
        )
        client = session.client(
            "s3",
            endpoint_url=options.endpoint_url,
            verify=options.ca_bundle or None if options.validate_certs else False,
            config=Config(**client_config(options)),
        )
    return S3Store(client, options)


class S3Store:
    """The ObjectStore port over a boto3 client of type s3."""

    def __init__(self, client: Any, options: S3Options) -> None:
        self._client = client
        self._options = options
        self._bucket = options.bucket

    def create(self) -> None:
        """See ObjectStore."""
        region = self._options.region
        # AWS takes every region but its first as a constraint, and its first only without one.
        place: dict[str, Any] = {}
        if region not in (None, "us-east-1"):
            place["CreateBucketConfiguration"] = {"LocationConstraint": region}
        with _explained(self._options):
            self._client.create_bucket(Bucket=self._bucket, **place)

    def list(self, prefix: str) -> dict[str, StoredObject]:
        """See ObjectStore; one request for each thousand objects."""
        with _explained(self._options):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return {
                entry["Key"]: StoredObject(int(entry["Size"]), entry["ETag"].strip('"'))
                for page in pages
                for entry in page.get("Contents", ())
            }

    def sha256(self, key: str) -> str | None:
        """See ObjectStore."""
        with _explained(self._options):
            answer = self._client.head_object(Bucket=self._bucket, Key=key)
            digest: str | None = answer.get("Metadata", {}).get("sha256")
            return digest

    def upload(self, files: Mapping[str, LocalFile]) -> None:
        """See ObjectStore; files and their parts go in parallel."""
        # The digest of a stored file counts on this one part size, see _model_folder.
        config = TransferConfig(multipart_threshold=PART_SIZE, multipart_chunksize=PART_SIZE)
        with _explained(self._options), TransferManager(self._client, config) as manager:
            futures = [
                manager.upload(str(file.path), self._bucket, key, extra_args={"Metadata": {"sha256": file.sha256}})
                for key, file in files.items()
            ]
            for future in futures:
                future.result()

    def remove(self, key: str) -> None:
        """See ObjectStore."""
        # One by one: DeleteObjects needs a checksum header on which S3-compatible stores disagree.
        with _explained(self._options):
            self._client.delete_object(Bucket=self._bucket, Key=key)


@contextmanager
def _explained(options: S3Options) -> Iterator[None]:
    """Turn every error of boto3 into one sentence; its own text is used only where nothing better is known."""
    try:
        yield
    except boto.ClientError as error:
        raise _refused(error, options) from None
    except boto.SSLError as error:
        raise KServeError(
            f"There is no trusted TLS connection to {options.place} ({_last(error)}); "
            "set ca_bundle to the authority that signed its certificate, or correct endpoint_url."
        ) from None
    except (
        boto.EndpointConnectionError,
        boto.ConnectTimeoutError,
        boto.ProxyConnectionError,
        boto.ConnectionClosedError,
        boto.ReadTimeoutError,
        boto.HTTPClientError,
    ):
        raise KServeError(f"{options.place} cannot be reached; check endpoint_url and the network.") from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError):
        raise KServeError(f"There are no whole credentials for {options.place}; {_CREDENTIALS}.") from None
    except boto.ProfileNotFound:
        raise KServeError(f"The profile {options.profile} is not configured; check profile.") from None
    except OSError as error:
        subject = error.filename or "A file"
        raise KServeError(f"{subject} cannot be read: {error.strerror or _last(error)}; check the disk.") from None
    except (boto.BotoCoreError, Boto3Error, ValueError) as error:
        text = redact(_last(error), options.access_key, options.secret_key, options.session_token)
        raise KServeError(f"{options.place} cannot be used: {text}; check endpoint_url and region.") from None


def _refused(error: Any, options: S3Options) -> KServeError:
    detail = error.response.get("Error", {})
    code = str(detail.get("Code", "unknown"))
    if code == "NoSuchBucket":
        return BucketMissing(
            f"There is no bucket {options.bucket} at {options.place}; create it, set bucket, or set create_bucket."
        )
    if code in _REFUSALS:
        return KServeError(f"{options.place} {_REFUSALS[code]} (bucket {options.bucket}, {code}).")
    text = redact(str(detail.get("Message", "")), options.access_key, options.secret_key, options.session_token)
    return KServeError(f"{options.place} refused {error.operation_name} in bucket {options.bucket} with {code}: {text}")


def _last(error: BaseException) -> str:
    """The innermost cause on one line: urllib3 and botocore wrap it in their own text."""
    inner = error.kwargs.get("error") if isinstance(getattr(error, "kwargs", None), dict) else None  # type: ignore[attr-defined]
    return " ".join(str(inner or error).split())
