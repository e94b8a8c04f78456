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
      - E(AWS_ENDPOINT_URL_S3) and E(AWS_ENDPOINT_URL) are used when it is not set, then C(endpoint_url) of the
        profile's C(services) for C(s3), then of the profile.
      - Defaults to Amazon S3.
    type: str
  region:
    description:
      - Region that requests are signed for.
      - E(AWS_REGION) and E(AWS_DEFAULT_REGION) are used when it is not set, then the region of the profile, then
        V(us-east-1). At DigitalOcean Spaces it is the slug in the endpoint, for example V(fra1).
      - It should be the bucket's own at Amazon S3. Otherwise each request is sent again to the region that the object
        storage names, or the error names the option.
    type: str
  access_key:
    description:
      - Access key.
      - Without it boto3 finds credentials as every AWS client does. These are O(profile), or, when it is not set,
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
      - Profile of the AWS configuration files. O(access_key) and O(secret_key) take precedence over it, those of the
        environment do not.
      - E(AWS_PROFILE) is used when it is not set. Then the credentials of the environment take precedence.
      - Its settings count as boto3 takes them, except for those of C(s3), of retries and of checksums.
    type: str
  validate_certs:
    description: Whether the certificate of the object storage must be valid.
    type: bool
    default: true
  ca_bundle:
    description:
      - PEM file with the trusted CAs of the object storage's certificate.
      - E(AWS_CA_BUNDLE) is used when it is not set, then C(ca_bundle) of the profile, then E(REQUESTS_CA_BUNDLE), then
        the CAs of the Python library certifi or botocore, and not those of the machine.
    type: path
  addressing_style:
    description:
      - Whether the bucket is in the path of the URL or in its host name.
      - V(auto) is boto3's own choice, the path if O(endpoint_url) is set, and else the host name. Most object stores
        support V(path); a few V(virtual) only.
    type: str
    choices: [auto, path, virtual]
    default: auto
  connections:
    description:
      - How many requests are sent at once, from 1 to 64.
      - Each takes at most 16 MiB of memory, or a ten-thousandth of the largest file where that is more.
    type: int
    default: 8
"""
