# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options by which every module of the collection reaches an object store."""

from __future__ import annotations


class ModuleDocFragment:
    """Doc fragment C(s3); its arguments are in plugins/module_utils/_s3_arguments.py."""

    DOCUMENTATION = r"""
requirements:
  - botocore >= 1.36.0
options:
  bucket:
    description: Bucket with the models.
    type: str
    required: true
  endpoint_url:
    description:
      - URL of the store, for example V(https://fra1.digitaloceanspaces.com).
      - E(AWS_ENDPOINT_URL_S3) and E(AWS_ENDPOINT_URL) are used when it is not set, then C(endpoint_url) of O(profile).
        Without any of them the module talks to Amazon S3.
    type: str
  region:
    description:
      - Region that requests are signed for.
      - E(AWS_REGION) and E(AWS_DEFAULT_REGION) are used when it is not set, then the region of O(profile), then
        V(us-east-1).
    type: str
  access_key:
    description: Access key. E(AWS_ACCESS_KEY_ID) is used when it is not set.
    type: str
  secret_key:
    description: Secret key. E(AWS_SECRET_ACCESS_KEY) is used when it is not set.
    type: str
  session_token:
    description: Token of temporary credentials. E(AWS_SESSION_TOKEN) is used when it is not set.
    type: str
  profile:
    description:
      - Profile of the AWS configuration files. O(access_key) and O(secret_key) win over its keys.
      - E(AWS_PROFILE) is used when it is not set.
    type: str
  validate_certs:
    description: Whether the certificate of the store must be valid.
    type: bool
    default: true
  ca_bundle:
    description:
      - PEM file with the authorities that may sign the store's certificate.
      - E(AWS_CA_BUNDLE) is used when it is not set.
    type: path
  addressing_style:
    description:
      - Where a request names the bucket, in the path of the URL or in its host name.
      - V(auto) takes the host name, except for an endpoint that is an IP address or has no dot in its name, and for
        a bucket with a dot in its name. Many stores of one's own know V(path) only.
    type: str
    choices: [auto, path, virtual]
    default: auto
  connections:
    description:
      - How many requests are under way at once, from 1 to 64.
      - Each takes at most 16 MiB of memory, or a ten-thousandth of the largest file where that is more.
    type: int
    default: 8
"""
