"""Secrets out of what people read: log lines, the flight record, errors, `config show`.

The first defence is that nobody passes a secret there. This is the second: whatever looks like a
cephx key is replaced, and fields and options that are known to hold one are not shown.
"""

from __future__ import annotations

import re

HIDDEN = "<hidden>"

# CryptoKey in base64: u16 type 1 (AES), utime created, u16 length 16, 16 bytes: 28 bytes, "AQ…==".
# Format: ceph/ceph, src/auth/Crypto.h (Pacific)
_KEY = r"(?<![A-Za-z0-9+/])AQ[A-Za-z0-9+/]{36}==(?![=A-Za-z0-9+/])"

# `key = …` as keyrings and ceph.conf have it, `--key …` as on a command line.
_ASSIGNED = r"""(?<![A-Za-z0-9_.])(-{0,2}key\s*=\s*|"key":\s*"?|--key\s+)[^\s;,"]+"""

SECRET_FIELDS = frozenset(
    {
        "key", "secret", "secrets", "session_key", "connection_secret", "service_secret",
        "rotating_keys", "ticket", "ticket_blob", "authorizer", "payload", "password", "token",
        "keyring_text", "privkey", "challenge",
    }
)  # fmt: skip
"""Names of fields that are never shown, whatever they hold."""

SECRET_OPTIONS = frozenset(
    {
        "key",
        "rgw_crypt_default_encryption_key",
        "rgw_crypt_kmip_password",
        "rgw_crypt_s3_kms_encryption_keys",
        "rgw_keystone_admin_password",
        "rgw_keystone_admin_token",
        "rgw_keystone_barbican_password",
        "rgw_opa_token",
        "rgw_sts_client_secret",
        "rgw_sts_key",
    }
)
"""Options whose value is itself a secret (not the path of one)."""


def redact(text: str) -> str:
    """`text` without anything that looks like a cephx key."""
    if "key" in text:
        text = re.sub(_ASSIGNED, rf"\g<1>{HIDDEN}", text)
    return re.sub(_KEY, HIDDEN, text) if "AQ" in text else text
