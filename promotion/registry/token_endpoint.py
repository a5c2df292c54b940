"""Token endpoints: a credential in, a token for some scopes out.

Both ways are spoken: the GET of the Distribution project's token specification, and the POST of its
OAuth 2 variant for those who have a refresh token.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from promotion import typed
from promotion.errors import AccessDenied, PromotionError, RegistryUnavailable
from promotion.registry.challenge import Challenge
from promotion.registry.concealed import Concealing, concealed
from promotion.registry.credentials import (
    Credential,
    IdentityToken,
    Login,
    Token,
    is_token,
    secret_of,
)
from promotion.registry.fetch import Answer, Fetch
from promotion.registry.retry import retry_after
from promotion.registry.tokens import IssuedToken

_DEFAULT_LIFETIME = 60.0
_LONGEST_EXPLANATION = 300


class _Request(NamedTuple):
    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None

    def __repr__(self) -> str:
        return "_Request(…)"


class _Issued(Concealing, msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None
    issued_at: str | None = None


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Complaint(msgspec.Struct):
    errors: list[_Error] = []
    error: str = ""
    error_description: str = ""
    details: str = ""


def issue(
    fetch: Fetch,
    host: str,
    challenge: Challenge,
    scopes: Sequence[str],
    credential: Credential | None,
) -> IssuedToken:
    """Ask for one token that is good for all of the scopes.

    Args:
        fetch: Sends the request.
        host: The registry that the token is for.
        challenge: What it said; its realm is where to ask.
        scopes: What the token has to be good for.
        credential: What to show; None to ask anonymously.

    Raises:
        AccessDenied: The endpoint does not accept the credential, does not grant the scopes, or
            gives no token that could be sent.
        RegistryUnavailable: The endpoint is busy, broken or out of reach.
    """
    if isinstance(credential, IdentityToken):
        request = _post(challenge, scopes, credential)
    else:
        request = _get(challenge, scopes, credential)
    answer = fetch(*request)
    attempted = f"Could not get a token for {host}: {challenge.realm.partition('?')[0]}"
    if answer.status != 200:
        raise _refusal(attempted, host, answer, credential)
    return _issued(attempted, answer)


def basic(credential: Login | Token) -> str:
    """The Authorization header that shows a credential by the scheme Basic (RFC 7617)."""
    plain = f"{credential.username}:{secret_of(credential)}".encode()
    return f"Basic {base64.b64encode(plain).decode('ascii')}"


def _get(challenge: Challenge, scopes: Sequence[str], shown: Login | Token | None) -> _Request:
    parameters = [("scope", scope) for scope in _most_wanted_first(scopes)]
    if challenge.service:
        parameters.insert(0, ("service", challenge.service))
    realm, _, query = challenge.realm.partition("?")
    query = "&".join(filter(None, (query, urlencode(parameters))))
    headers = {"Authorization": basic(shown)} if shown else {}
    return _Request("GET", f"{realm}?{query}" if query else realm, headers)


def _post(challenge: Challenge, scopes: Sequence[str], shown: IdentityToken) -> _Request:
    form = {
        "grant_type": "refresh_token",
        "client_id": "promotion",
        "service": challenge.service,
        "scope": " ".join(_most_wanted_first(scopes)),
        "refresh_token": shown.value,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return _Request("POST", challenge.realm, headers, urlencode(form).encode())


def _most_wanted_first(scopes: Sequence[str]) -> list[str]:
    # Some endpoints grant the first scope only: that should be the one for pushing.
    return sorted(dict.fromkeys(scopes), key=lambda scope: "push" not in _actions(scope))


def _actions(scope: str) -> list[str]:
    return scope.rpartition(":")[2].split(",")


def _issued(attempted: str, answer: Answer) -> IssuedToken:
    try:
        issued = typed.decode(answer.content, _Issued, strict=False)
    except (ValueError, RecursionError) as error:
        raise AccessDenied(f"{attempted} answered something that is not a token") from error
    value = issued.token or issued.access_token or ""
    if not is_token(value):
        fault = "a token with characters that no header can hold" if value else "no token"
        raise AccessDenied(f"{attempted} answered {fault}")
    return IssuedToken(value, _lifetime(issued, answer))


def _lifetime(issued: _Issued, answer: Answer) -> float:
    """For how long the token is good: an endpoint may hand out one that it issued a while ago."""
    stated = issued.expires_in if issued.expires_in and issued.expires_in > 0 else _DEFAULT_LIFETIME
    try:
        # Both by the endpoint's clock, so that a difference to this machine's does not matter.
        answered = parsedate_to_datetime(answer.headers.get("Date", ""))
        age = _aware(answered) - _aware(datetime.fromisoformat(issued.issued_at or ""))
    except (ValueError, OverflowError):
        return stated
    return max(stated - max(age.total_seconds(), 0.0), 0.0)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _refusal(
    attempted: str, host: str, answer: Answer, credential: Credential | None
) -> PromotionError:
    text = f"{attempted} answered {answer.status}{_explanation(answer.content, credential)}"
    if answer.status in (408, 429) or answer.status >= 500:
        return RegistryUnavailable(f"{text}; it will be tried again", retry_after(answer.headers))
    if answer.status not in (401, 403):
        return AccessDenied(f"{text}; check that this is the address of a token endpoint")
    if credential is None:
        return AccessDenied(
            f"{text}, and there is no credential for {host}. Give the function a service account;"
            f" elsewhere run `gcloud auth application-default login`, or `docker login {host}`"
        )
    return AccessDenied(f"{text}; check the credential for {host}, and what it has the right to do")


def _explanation(content: bytes, credential: Credential | None) -> str:
    try:
        said = typed.decode(content, _Complaint)
    except (ValueError, RecursionError):
        return ""
    errors = [f"{error.code}: {error.message}" for error in said.errors[:3]]
    texts = [*errors, said.error, said.error_description, said.details]
    text = " ".join(" ".join(filter(None, texts)).split())
    # Nothing keeps an endpoint from repeating what it was shown.
    text = concealed(text, _shown(credential) if credential else "")
    return f" {text[:_LONGEST_EXPLANATION]}" if text else ""


def _shown(credential: Credential) -> str:
    """What the endpoint was shown, as a header."""
    if isinstance(credential, IdentityToken):
        return f"Bearer {credential.value}"
    return basic(credential)
