"""What a registry's refusal means (OCI Distribution Specification, "Error Codes")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from promotion import typed
from promotion.errors import (
    AccessDenied,
    ContentMismatch,
    NotFound,
    PromotionError,
    RegistryRefused,
    RegistryUnavailable,
)
from promotion.registry.concealed import concealed
from promotion.registry.connections import read_at_most
from promotion.registry.retry import retry_after

if TYPE_CHECKING:
    import urllib3

_LONGEST_EXPLANATION = 64 * 1024

# Codes that say more than their status. A manifest may be refused for a blob that was seen to be
# there: registries that keep their content in files show it half written for a moment, while
# another promotion brings the same. Upload sessions vanish when a registry is restarted.
_MOMENTARY = frozenset(
    {"BLOB_UPLOAD_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "TOOMANYREQUESTS", "UNAVAILABLE"}
)
_DAMAGED = frozenset({"BLOB_UPLOAD_INVALID", "DIGEST_INVALID", "SIZE_INVALID"})


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error] = []


def refusal(
    host: str, attempted: str, answer: urllib3.BaseHTTPResponse, authorization: str = ""
) -> PromotionError:
    """The error that an answer stands for.

    Args:
        host: Who answered.
        attempted: What the request was for, in words that complete "Could not …".
        answer: What was answered; its body is read.
        authorization: The header that was sent, which the text does not repeat.
    """
    errors = _errors(answer)
    said = "".join(f" {error.code}: {error.message}" for error in errors[:3])
    said = concealed(said, authorization)
    text = f"Could not {attempted}: {host} answered {answer.status}{said}"
    codes = {error.code for error in errors}
    if answer.status in (401, 403):
        log_in = f"log in, as by `docker login {host}`, or " if answer.status == 401 else ""
        return AccessDenied(
            f"{text}; {log_in}give the identity that runs this the right to read the source"
            " and to write the destination (on Artifact Registry: roles/artifactregistry.reader"
            " and roles/artifactregistry.writer)"
        )
    if answer.status == 405:
        return AccessDenied(
            f"{text}; a registry answers so while it is read-only, for maintenance perhaps: let it"
            " take writes again"
        )
    if answer.status in (408, 429) or answer.status >= 500 or codes & _MOMENTARY:
        return RegistryUnavailable(f"{text}; it will be tried again", retry_after(answer.headers))
    if codes & _DAMAGED:
        return ContentMismatch(f"{text}; the bytes did not arrive as they were sent")
    if answer.status == 400 and "BLOB_UNKNOWN" in codes:
        return RegistryUnavailable(f"{text}; it will be tried again")
    if answer.status == 404:
        return NotFound(f"{text}; check that the repository exists and the name is spelt right")
    return RegistryRefused(text)


def _errors(answer: urllib3.BaseHTTPResponse) -> list[_Error]:
    from urllib3.exceptions import HTTPError

    try:
        return typed.decode(read_at_most(answer, _LONGEST_EXPLANATION), _Errors).errors
    except (ValueError, RecursionError, HTTPError):
        return []
