"""Who is asking: the e-mail address in the request's identity token, which is verified here.

Cloud Run has checked by then that the caller may call. It takes the signature off the token that it
checked, so the caller sends the token twice: the one in ``X-Serverless-Authorization`` is checked
by Cloud Run, and the one in ``Authorization`` then comes through whole. google-auth, which verifies
it, is loaded with the first request.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from promotion import typed
from promotion.errors import BadMessage, NotIdentified, RegistryUnavailable
from promotion.registry.fetch import Answer, Fetch

CERTIFICATES = "https://www.googleapis.com/oauth2/v1/certs"

_ISSUERS = ("https://accounts.google.com", "accounts.google.com")
_REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"
_SEND_BOTH = (
    "send it in both headers, X-Serverless-Authorization, which Cloud Run checks, and"
    " Authorization, which it then leaves whole"
)
_CLOCK_SKEW_SECONDS = 30
_LONGEST_TOKEN = 8192
_LONGEST_EXPLANATION = 300
_MAX_AGE = re.compile(r"\bmax-age=([0-9]{1,9})")
_KEPT_SECONDS = 300.0
_LONGEST_KEPT_SECONDS = 86_400.0


class Identification(Protocol):
    """Says who sends a request."""

    def author(self, headers: Mapping[str, str], named: str) -> str:
        """The e-mail address of who sends a request.

        Args:
            headers: The request's.
            named: The author that its body names; "" if it names none.

        Raises:
            BadMessage: The body may not name an author, and does.
            NotIdentified: The request does not prove who sends it.
            RegistryUnavailable: It cannot be verified now.
        """


class NamedAuthor:
    """Believes what the body says: for development, on one's own machine."""

    def author(self, headers: Mapping[str, str], named: str) -> str:  # noqa: ARG002
        """The author that the body names.

        Raises:
            NotIdentified: It names none.
        """
        if not named:
            raise NotIdentified("In development the body says who decides: give it an author")
        return named


class GoogleToken:
    """Believes an identity token that Google has signed for this service, while it lasts."""

    def __init__(
        self, fetch: Fetch, audiences: Sequence[str], certificates: str = CERTIFICATES
    ) -> None:
        """Verify tokens for these audiences, by the certificates that a URL gives."""
        self._audiences = list(audiences)
        self._certificates = _Certificates(fetch, certificates)

    def author(self, headers: Mapping[str, str], named: str) -> str:
        """The e-mail address in the token.

        Raises:
            BadMessage: The body names an author.
            NotIdentified: There is no token, or it does not count; the text says why.
            RegistryUnavailable: Google's certificates cannot be had.
        """
        if named:
            raise BadMessage("The author is whoever the identity token names; leave author out")
        token = _token(headers)
        claims = self._verified(token)
        if claims.get("iss") not in _ISSUERS:
            raise _refused(f"its issuer is not {_ISSUERS[0]}")
        email = claims.get("email")
        if not isinstance(email, str) or not email:
            raise _refused("it names no e-mail address; ask for one when it is made")
        if claims.get("email_verified") is not True:
            raise _refused("its e-mail address is not verified")
        return email

    def _verified(self, token: str) -> Mapping[str, Any]:
        from google.auth import jwt
        from google.auth.exceptions import InvalidValue

        certificates = self._certificates.get()
        try:
            claims: Mapping[str, Any] = jwt.decode(  # type: ignore[no-untyped-call]
                token,
                certs=certificates,
                audience=self._audiences,
                clock_skew_in_seconds=_CLOCK_SKEW_SECONDS,
            )
        except InvalidValue as error:
            # What it says of a token that is no token would repeat it; of its claims it may speak.
            raise _refused(str(error.args[0])[:_LONGEST_EXPLANATION]) from error
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise _refused("it is not one, or none of Google's keys has signed it") from error
        return claims


class _Certificates:
    """Google's public keys by their ids, kept as long as their answer says."""

    def __init__(self, fetch: Fetch, url: str) -> None:
        self._fetch = fetch
        self._url = url
        self._lock = threading.Lock()
        self._kept: Mapping[str, str] = {}
        self._until = 0.0

    def get(self) -> Mapping[str, str]:
        with self._lock:
            if time.monotonic() >= self._until:
                answer = self._fetch("GET", self._url, {}, None)
                self._kept = self._read(answer)
                self._until = time.monotonic() + _fresh_for(answer)
            return self._kept

    def _read(self, answer: Answer) -> Mapping[str, str]:
        if answer.status != 200:
            raise RegistryUnavailable(
                f"{self._url} answered {answer.status}: no identity can be verified; try again"
            )
        try:
            return typed.decode(answer.content, dict[str, str])
        except (ValueError, RecursionError) as error:
            raise RegistryUnavailable(
                f"{self._url} gave an unintelligible answer: no identity can be verified; try again"
            ) from error


def _token(headers: Mapping[str, str]) -> str:
    """The token in ``Authorization``, which must be the one that Cloud Run has checked."""
    lower = {name.lower(): value for name, value in headers.items()}
    token = _bearer(lower.get("authorization", ""))
    if not token:
        raise NotIdentified(f"The request carries no identity token; {_SEND_BOTH}")
    signed, _, signature = token.rpartition(".")
    if signature == _REMOVED:
        raise NotIdentified(f"Cloud Run has taken the signature off the token; {_SEND_BOTH}")
    checked = lower.get("x-serverless-authorization")
    if checked is not None and _bearer(checked).rpartition(".")[0] != signed:
        raise NotIdentified(f"The two headers carry different tokens: take one, and {_SEND_BOTH}")
    if len(token) > _LONGEST_TOKEN:
        raise _refused("it is too long to be one")
    return token


def _bearer(header: str) -> str:
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _fresh_for(answer: Answer) -> float:
    """For how many seconds an answer may be kept."""
    stated = _MAX_AGE.search(answer.headers.get("Cache-Control", ""))
    return min(float(stated[1]), _LONGEST_KEPT_SECONDS) if stated else _KEPT_SECONDS


def _refused(why: str) -> NotIdentified:
    return NotIdentified(f"The identity token does not count: {why}")
