# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The object storage options of every module of the collection."""

from __future__ import annotations


class ModuleDocFragment:
    """Doc fragment C(s3); its arguments are in plugins/module_utils/_object_store/arguments.py."""

    DOCUMENTATION = r"""
requirements:
  - boto3 >= 1.36.0
notes:
  - Proxies are taken from E(HTTP_PROXY), E(HTTPS_PROXY), E(ALL_PROXY) and E(NO_PROXY), by the rule in the guide
    R(Proxies,ansible_collections.hashfoundry.kserve.docsite.deploy.proxies).
options:
  bucket:
    description: Bucket with the models.
    type: str
    required: true
  endpoint_url:
    description:
      - URL of the object storage, for example V(https://fra1.digitaloceanspaces.com).
      - Defaults to E(AWS_ENDPOINT_URL_S3), E(AWS_ENDPOINT_URL), C(endpoint_url) of the profile's C(services) for C(s3),
        C(endpoint_url) of the profile, or Amazon S3, in this order.
    type: str
  region:
    description:
      - Region that requests are signed for.
      - Defaults to E(AWS_REGION), E(AWS_DEFAULT_REGION), the region of the profile, or V(us-east-1), in this order. For
        DigitalOcean Spaces it is the slug in the endpoint, for example V(fra1).
      - For Amazon S3 set the region of the bucket. With another region each request is sent a second time to the region
        that Amazon S3 names, or fails with an error that names this option.
    type: str
  access_key:
    description:
      - Access key.
      - If unset, boto3 finds credentials as other AWS clients do. These are those of O(profile), or, if that is unset,
        E(AWS_ACCESS_KEY_ID) with E(AWS_SECRET_ACCESS_KEY) and E(AWS_SESSION_TOKEN), E(AWS_PROFILE), the files, SSO, a
        role with a web identity (IRSA), and the roles of containers and EC2. Those that expire are renewed.
    type: str
  secret_key:
    description: Secret key, together with O(access_key).
    type: str
  session_token:
    description: Token of temporary credentials, together with O(access_key).
    type: str
  profile:
    description:
      - Profile of the AWS configuration files. O(access_key) and O(secret_key) take precedence over it. It takes
        precedence over the credentials of the environment.
      - Defaults to E(AWS_PROFILE), over which the credentials of the environment take precedence.
      - The other settings of the profile apply as with boto3, except for those of C(s3), of retries and of checksums.
    type: str
  validate_certs:
    description: Whether the certificate of the object storage must be valid.
    type: bool
    default: true
  ca_bundle:
    description:
      - PEM file with the trusted CAs of the object storage's certificate.
      - Defaults to E(AWS_CA_BUNDLE), C(ca_bundle) of the profile, E(REQUESTS_CA_BUNDLE), or the CAs of the Python
        library certifi or botocore, in this order. The CAs of the operating system are not used.
    type: path
  addressing_style:
    description:
      - Whether the bucket is in the path of the URL or in its host name.
      - V(auto) is the choice of boto3, the path if O(endpoint_url) is set, and otherwise the host name. Most object
        stores support V(path). A few support only V(virtual).
    type: str
    choices: [auto, path, virtual]
    default: auto
  connections:
    description:
      - How many requests are sent at once, from 1 to 64.
      - Each uses at most 16 MiB of memory, or a ten-thousandth of the size of the largest file if that is more.
    type: int
    default: 8
"""
