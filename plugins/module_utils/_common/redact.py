# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Masking secrets in text from other programs: logs, events, messages of servers.

AnsibleModule masks the values of its own no_log options. It cannot know the secrets that
a container prints or that a server repeats in an error, so such text passes through here.
This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re

MASK = "********"

# Each pattern has one group to keep, the secret follows it.
_AFTER = (
    # HTTP headers, as curl and most loggers print them: everything up to the end of the header's value.
    re.compile(r"(?i)(\b(?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)[^\"'\r\n]+"),
    re.compile(r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}"),
    # The secret values of signed URLs: AWS (X-Amz-*, AWSAccessKeyId), Google (X-Goog-*), Azure (sig).
    re.compile(
        r"(?i)([?&](?:x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)"
        r"|awsaccesskeyid|googleaccessid|signature|sig|token|access_token)=)[^&\s\"']+"
    ),
    # name=value, name: value and "name": "value", also with a prefix such as AWS_ or S3_, and quoted once more.
    re.compile(
        r"(?i)(\b[\w.-]*(?:secret[_-]?(?:access[_-]?)?key|access[_-]?key(?:[_-]?id)?|account[_-]?key|client[_-]?secret"
        r"|(?:session|auth|access|refresh|hub|hf|bearer)[_-]?token|password|passwd|api[_-]?key)"
        r"(?:\\?[\"'])?\s*[:=]\s*(?:\\?[\"'])?)[^\s\"',;&\\]+"
    ),
    # The same as options of a command.
    re.compile(r"(?i)(--[\w-]*(?:secret(?:[_-](?:access[_-])?key)?|password|token|api[_-]key)[ =][\"']?)[^\s\"']+"),
    # The user part of a URL: scheme://user:password@host.
    re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^/\s@]+(?=@)"),
)
# What is known by its form: identifiers of access keys of AWS (IAM user guide, "unique identifiers") and of Spaces,
# tokens of Hugging Face and GitHub, JSON Web Tokens (RFC 7519: two JSON objects and a signature), private keys in PEM.
_WHOLE = re.compile(
    r"\b(?:AKIA|ASIA|DO00)[A-Z0-9]{16}\b|\bhf_[A-Za-z0-9]{20,}|\bgh[pousr]_[A-Za-z0-9]{20,}"
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)


def redact(text: str, *secrets: str | None) -> str:
    """Return the text with what looks like a secret, and every given secret, masked.

    :param text: any text, of one or many lines.
    :param secrets: values known to be secret; None and empty values are passed over.
    """
    for secret in sorted({secret for secret in secrets if secret}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    for pattern in _AFTER:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return _WHOLE.sub(MASK, text)


def short(text: str | None, length: int = 300) -> str:
    """Return text from elsewhere as one line without secrets, of the given length at most.

    The end of a long text is kept: a traceback or a termination message ends with the error itself.
    """
    line = redact(" ".join((text or "").split()))
    return line if len(line) <= length else "…" + line[-length:]
