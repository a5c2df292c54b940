"""Google's identities: access tokens for Artifact Registry and Container Registry, for no one else.

google-auth takes a tenth of a second and 10 MiB to load, which a registry elsewhere does not need:
it is loaded when the first token is wanted. It speaks to Google over the connections it is given,
and so by the same proxies and certificates as everything else.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promotion.errors import AccessDenied, RegistryUnavailable
from promotion.registry.credentials import Credential, Token
from promotion.registry.fetch import Fetch
from promotion.registry.single_flight import SingleFlight

if TYPE_CHECKING:
    from google.auth.credentials import Credentials as GoogleCredentials

_SUFFIXES = (".pkg.dev", ".gcr.io")
_SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
_FILE_TYPES = "service_account, external_account, authorized_user, impersonated_service_account"


def is_google(host: str) -> bool:
    """Whether a host is one of Google's registries."""
    return host == "gcr.io" or host.endswith(_SUFFIXES)


class _GoogleIdentity(ABC):
    """Access tokens of one identity, each kept until google-auth says that it is no longer valid.

    Attributes:
        advice: What to do if there is no token.
    """

    advice: str

    def __init__(self, fetch: Fetch) -> None:
        self._request = GoogleRequest(fetch)
        self._flights: SingleFlight[None, Token | None] = SingleFlight()
        self._is_loaded = False
        self._credentials: GoogleCredentials | None = None

    def find(self, host: str) -> Credential | None:
        """An access token for Google's registries; None for all other hosts.

        Raises:
            AccessDenied: There should be a token, and it cannot be had.
            DeadlineExceeded: There is no time left to wait for it.
            RegistryUnavailable: Google's token service is busy, broken or out of reach.
        """
        if not is_google(host):
            return None
        from google.auth.exceptions import GoogleAuthError

        try:
            return self._flights.do(None, self._token)
        except (GoogleAuthError, OSError, ValueError) as error:
            text = f"No Google access token could be had: {_said(error)}"
            if _is_passing(error):
                raise RegistryUnavailable(f"{text}; it will be tried again") from error
            raise AccessDenied(f"{text}; {self.advice}") from error

    def account(self, host: str) -> str:
        """The e-mail address of whom a registry's tokens are for; "" where nothing names it.

        It is what the credentials say of themselves.

        Raises:
            AccessDenied, DeadlineExceeded, RegistryUnavailable: As for ``find``.
        """
        if self.find(host) is None:
            return ""
        names = ("service_account_email", "account")
        found = (getattr(self._credentials, name, "") for name in names)
        return next((str(name) for name in found if name), "")

    def renew(self, host: str) -> None:
        """Forget the token, and what it was made from: that may have changed as well."""
        if is_google(host):
            self._is_loaded = False

    @abstractmethod
    def _load(self) -> GoogleCredentials | None:
        """Find what tokens are made from; None if there is nothing."""

    def _token(self) -> Token | None:
        if not self._is_loaded:
            self._credentials = self._load()
            self._is_loaded = True
        if self._credentials is None:
            return None
        if not self._credentials.valid:
            self._credentials.refresh(self._request)  # type: ignore[no-untyped-call]
        return Token(str(self._credentials.token))


class GoogleDefault(_GoogleIdentity):
    """The identity of the environment: Application Default Credentials, which have to be there."""

    advice = (
        "on Cloud Run give the function a service account; elsewhere run"
        " `gcloud auth application-default login`"
    )

    def _load(self) -> GoogleCredentials | None:
        import google.auth

        credentials, _ = google.auth.default(_SCOPES, self._request)  # type: ignore[arg-type]
        return credentials


class GoogleDefaultIfAny(GoogleDefault):
    """The same for the command line, where what is public can be read without.

    Not for a service: were its metadata server silent for a moment, it would be nobody for good.
    """

    def _load(self) -> GoogleCredentials | None:
        from google.auth.exceptions import DefaultCredentialsError

        try:
            return super()._load()
        except DefaultCredentialsError as error:
            # Damaged credentials are errors of the same type.
            if "default credentials were not found" in str(error):
                return None
            raise


class GoogleFile(_GoogleIdentity):
    """The identity in a file: a service account's key, an external account, or a user's login."""

    def __init__(self, path: Path, fetch: Fetch) -> None:
        super().__init__(fetch)
        self._path = path
        self.advice = f"check the credential file {path}"

    def _load(self) -> GoogleCredentials:
        content = json.loads(self._path.read_text(encoding="utf-8"))
        try:
            return _from_file(content)
        except (AttributeError, KeyError, TypeError) as error:
            # google-auth takes it for granted that the parts of the file are there.
            raise ValueError("the file is not complete") from error


def _from_file(content: Mapping[str, Any]) -> GoogleCredentials:
    # Each type by its own name, as google-auth recommends: its loader for all types is deprecated,
    # and asks for an external account's project, which nobody needs here.
    match content.get("type"):
        case "service_account":
            return _service_account(content)
        case "external_account":
            return _external_account(content)
        case "authorized_user":
            return _authorized_user(content)
        case "impersonated_service_account":
            return _impersonated_service_account(content)
        case other:
            raise ValueError(f"the file has the type {other!r}, not one of {_FILE_TYPES}")


def _service_account(content: Mapping[str, Any]) -> GoogleCredentials:
    from google.oauth2.service_account import Credentials

    load = Credentials.from_service_account_info
    return load(content, scopes=_SCOPES)  # type: ignore[no-untyped-call, no-any-return]


def _authorized_user(content: Mapping[str, Any]) -> GoogleCredentials:
    from google.oauth2.credentials import Credentials

    # Without scopes: a user's token has those that were agreed to when logging in.
    return Credentials.from_authorized_user_info(content)  # type: ignore[no-untyped-call, no-any-return]


def _external_account(content: Mapping[str, Any]) -> GoogleCredentials:
    from google.auth import aws, identity_pool, pluggable

    kind: type[aws.Credentials | identity_pool.Credentials | pluggable.Credentials]
    if content.get("subject_token_type") == "urn:ietf:params:aws:token-type:aws4_request":
        kind = aws.Credentials
    elif "executable" in (content.get("credential_source") or {}):
        kind = pluggable.Credentials
    else:
        kind = identity_pool.Credentials
    return kind.from_info(content, scopes=_SCOPES)  # type: ignore[no-untyped-call, no-any-return]


def _impersonated_service_account(content: Mapping[str, Any]) -> GoogleCredentials:
    from google.auth.impersonated_credentials import Credentials

    load = Credentials.from_impersonated_service_account_info
    return load(content, scopes=_SCOPES)  # type: ignore[no-untyped-call, no-any-return]


def _said(error: Exception) -> str:
    from google.auth.exceptions import GoogleAuthError

    # What google-auth adds to its words is the whole answer, once more.
    words = error.args[0] if isinstance(error, GoogleAuthError) and error.args else error
    return str(words).rstrip(".")


def _is_passing(error: Exception) -> bool:
    """Whether it failed for want of an answer, and not by the answer."""
    from google.auth.exceptions import TransportError

    failures = (error, error.__cause__)
    retryable = getattr(error, "retryable", False)
    return retryable or any(isinstance(failure, TransportError) for failure in failures)


@dataclass(frozen=True)
class _Response:
    """An answer, as google-auth reads it."""

    status: int
    headers: Mapping[str, str]
    data: bytes = field(repr=False)


class GoogleRequest:
    """A way to send requests, as google-auth calls it: over connections of ours."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the connections have their own
        **options: object,
    ) -> _Response:
        """Send a request.

        Raises:
            TransportError: There is no answer.
        """
        from google.auth.exceptions import TransportError

        if options:
            raise ValueError(f"{', '.join(options)} cannot be had with a request to {url}")
        content = body.encode() if isinstance(body, str) else body
        try:
            answer = self._fetch(method, url, headers or {}, content)
        except RegistryUnavailable as error:
            raise TransportError(error) from error  # type: ignore[no-untyped-call]
        return _Response(answer.status, answer.headers, answer.content)
