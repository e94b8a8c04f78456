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

# What may follow in the name of one among several, such as DB_PASSWORD_PROD and token1.
_OF_SEVERAL = r"(?:[_-]?(?:v?\d{1,3}|base|value|old|new|prod(?:uction)?|stag(?:e|ing)|dev|test))?"
# What names of variables, fields, headers and options of a secret end with.
_SECRET = (
    r"(?:secret|token|passwords?|passwd|pass[ _-]?phrase|passcode|pwd|authtoken|(?<=[_.-])p(?:ass|w)"
    r"|(?:admin|db|database|key|pg|root|user)p(?:ass|w)"
    r"|(?:(?:secret[_-]?)?access|account|activation|admin|api|app(?:lication)?|auth|client|consumer|cookie|database|db"
    r"|deploy|encryption|hmac|integration|jwt|licen[cs]e|master|priv(?:ate)?|secret|service|session|shared|signing|ssh"
    r"|storage|subscription|webhook)[_-]?key(?:[_-]?id)?)"
)
# pass and pw are words, too: as results, such as "pass: 12" and "PASS: TestRead (0.1s)", they are no names of a secret.
_ENDS = r"(?=[\s,;&)}\]\"']|\Z)"
_RESULT = rf"(?:\d{{1,4}}(?:[./]\d{{1,4}})?%?|true|false|yes|no|ok|null|none){_ENDS}"
_WORD = r"[^\s\"'\\,;&)}\]]"
_ALONE = rf"(?:{_WORD}{{200}}|{_WORD}{{1,199}}[ \t]*(?:[\r\n,;&)}}\]]|\Z|[ \t][\w.-]{{1,40}}\s*[=:]))"
_SHORT = (
    r"(?<![a-z])(?<!--- )p(?:ass|w)(?:(?=\s*=)"
    rf"|(?=\\*[\"']\s*:\s*(?!\s|{_RESULT}))|(?=[ \t]*:\s*(?:[|>]|\\*[\"']|(?!{_RESULT}){_ALONE})))"
)
_NAME = rf"(?:(?:{_SECRET}|{_SHORT}){_OF_SEVERAL})"
# The same where it is a value itself, beside another.
_NAMED = rf"(?:{_SECRET}|(?<![a-z])p(?:ass|w)){_OF_SEVERAL}"
# Between name and value: as in shells, YAML, JSON, Ruby and encoded URLs, and a YAML string that begins below.
_IS = r"(?:\\*[\"'])?\]?\s*(?::=|=>|[:=]|%3[ad])\s*(?:[|>][-+]?\s*\n\s*)?"
# In quotes, which may be quoted once more; or up to the next space, quote or name with a value.
# A backslash has only one way to match: with two, the time would be exponential in their number.
_QUOTED = (
    r"(?P<plain>[\"'])(?:\\[^\r\n]|\\(?![^\r\n])|(?!(?P=plain))[^\\\r\n])*"
    r"|(?P<quoted>\\+[\"'])(?:(?!(?P=quoted))[^\r\n])*"
)
_VALUE = (
    rf"(?:{_QUOTED}"
    r"|(?:[^\s\"'\\,;&]|[,;&](?!\s*[\"']?[\w.-]+[\"']?\s*[=:])|\\(?![\"'nrt]))+)"
)
# A variable's name in a field, as in lists of a container's variables, of tags and of settings in XML.
_NAMES = rf"(?:name|key)\\*[\"']?\s*[:=]\s*\\*[\"']?[\w.-]{{0,60}}{_NAMED}"

# Each pattern has the group kept, the secret follows it, after an opening quote if there is a group for it.
_AFTER = (
    # HTTP headers, as curl and most loggers print them: everything up to the end of the header's value.
    re.compile(r"(?i)(?P<kept>\b(?:(?:proxy-)?authorization|(?:set-)?cookie)[\"']?\s*[:=]\s*[\"']?)[^\"'\r\n]+"),
    re.compile(r"(?i)(?P<kept>\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}"),
    # The secret values of signed URLs: AWS (X-Amz-*, AWSAccessKeyId), Google (X-Goog-*), Azure (sig).
    re.compile(
        r"(?i)(?P<kept>[?&](?:x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)"
        r"|awsaccesskeyid|googleaccessid|signature|sig|token|access_token)=)[^&\s\"']+"
    ),
    # name=value, name: value and "name": "value", whatever the name begins with, such as AWS_ or S3_.
    re.compile(rf"(?i)(?P<kept>{_NAME}{_IS}){_VALUE}"),
    # The same as an element, as a container's variable, and as an option of a command or in a list of its words.
    re.compile(rf"(?i)(?P<kept><[\w:.-]{{0,60}}{_NAME}(?:\s[^<>]*)?>)[^<]+"),
    re.compile(rf"(?i)(?P<kept>{_NAMES}\\*[\"']?[\s,;]*\\*[\"']?value{_IS}){_VALUE}"),
    # And where the value comes first. Without quotes it may be all up to the name.
    re.compile(
        rf"(?i)(?P<kept>(?<![a-z])value{_IS})(?:(?>{_QUOTED})|[^\s\"'\\{{}}][^\r\n\"'\\{{}}]{{0,200}}?)"
        rf"(?=\\*[\"']?[\s,;]*\\*[\"']?{_NAMES}(?![\w.-]))"
    ),
    # What has spaces by intention.
    re.compile(
        r"(?i)(?P<kept>pass[ _-]?phrase(?:\\*[\"'])?\s*[:=][ \t]*)(?![|>][-+]?[ \t]*[\r\n])"
        r"(?:[^\s\"'\\,;&]|[,;& \t](?![ \t]*[\"']?[\w.-]+[\"']?\s*[=:]))+"
    ),
    re.compile(rf"(?i)(?P<kept>--[\w-]{{0,60}}{_NAME}(?:\s+|[\"']\s*,?\s*)){_VALUE}"),
    re.compile(r"(?i)(?P<kept>(?:\s-u|--user)[\s=]\s*[\"']?[^\s:\"']+:)[^\s\"']+"),
    # The logins of a container registry, base64 of user:password.
    re.compile(r"(?i)(?P<kept>\b_?auth(?:\\*[\"']\s*:\s*\\*[\"']|\s*=\s*[\"']?))[A-Za-z0-9+/=_-]{6,}"),
    # The user part of a URL: scheme://user:password@host. A port and an IPv6 address are none.
    re.compile(r"(?i)(?P<kept>\b[a-z][a-z0-9+.-]{0,30}://(?!\[)[^/\s:@\"']{0,200}:)(?!\d{1,5}/)[^\s\"'<>]+(?=@)"),
)
# What is known by its form, and by whom it is issued.
_WHOLE = re.compile(
    # Identifiers of access keys of AWS (IAM user guide, "unique identifiers") and of Spaces; tokens of DigitalOcean.
    r"\b(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA|DO00)[A-Z0-9]{16}\b|\bdo[opr]_v1_[a-f0-9]{40,}"
    # Hugging Face, GitHub, GitLab, npm, PyPI, Databricks, HashiCorp Vault.
    r"|\bhf_[A-Za-z0-9]{20,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bgl[a-z]{2,5}-[\w-]{16,}"
    r"|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[\w-]{40,}|\bdapi[a-f0-9]{32}|\bhv[bsr]\.[\w-]{20,}"
    # OpenAI and those who follow it, Google, Stripe, Slack, SendGrid, Mailchimp, Square, Twilio, Telegram, Discord.
    r"|\bsk-[\w-]{20,}|\bAIza[\w-]{35}|\bya29\.[\w-]{20,}|\b[rs]k_(?:live|test)_[0-9A-Za-z]{16,}|\bxox[a-z]-[\w-]{10,}"
    r"|hooks\.slack\.com/(?:services|triggers|workflows)/[\w/]+|\bSG\.[\w-]{16,}\.[\w-]{16,}|\b[0-9a-f]{32}-us\d{1,2}\b|\bsq0[a-z]{3}-[\w-]{22,}"
    r"|\b(?:AC|SK)[a-f0-9]{32}\b|(?:\b|bot)\d{8,10}:[\w-]{35}\b|\b[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,}"
    # Webhooks of Discord and Teams.
    r"|\bdiscord(?:app)?\.com/api/webhooks/\d+/[\w-]+|\.webhook\.office\.com/webhookb2/[\w@/-]+"
    # JSON Web Tokens (RFC 7519: two JSON objects and a signature), private keys in PEM, of which the beginning or the
    # end may be cut off.
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"
    r"|(?<![\w+/=])(?:[A-Za-z0-9+/=]{16,}(?:\s|\\n)+){1,100}-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)"
)


def is_known_secret(text: str) -> bool:
    """Return whether the text has a secret that is known by its form alone, such as a token of GitHub."""
    return bool(_WHOLE.search(text))


def redact(text: str, *secrets: str | None) -> str:
    """Return the text with what looks like a secret, and every given secret, masked.

    :param text: any text, of one or many lines.
    :param secrets: values known to be secret; None and empty values are passed over.
    """
    for secret in sorted({secret for secret in secrets if secret}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    # First, since a key in PEM would not be known without its first line.
    text = _WHOLE.sub(MASK, text)
    for pattern in _AFTER:
        text = pattern.sub(_masked, text)
    return text


def _masked(found: re.Match[str]) -> str:
    quotes = found.groupdict()
    return f"{found['kept']}{quotes.get('plain') or quotes.get('quoted') or ''}{MASK}"


def short(text: str | None, length: int = 300) -> str:
    """Return text from elsewhere as one line without secrets, of the given length at most.

    The end of a long text is kept: a traceback or a termination message ends with the error itself.
    """
    # Before it is one line: a header or a comment ends with its line.
    line = " ".join(redact(text or "").split())
    return line if len(line) <= length else "…" + line[-length:]
