"""Who the product is to a registry: the Authorization header that each host gets.

Google's registries take an OAuth access token directly as a Bearer token, so it is sent with the
first request, without a challenge and without a token exchange.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from promotion.errors import AccessDenied

if TYPE_CHECKING:
    from google.auth.credentials import Credentials as GoogleCredentials

_GOOGLE_SUFFIXES = (".pkg.dev", ".gcr.io")
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class Credentials(Protocol):
    """Knows what to say to a host that asks who is there."""

    def authorization(self, host: str) -> str | None:
        """The value of the Authorization header for this host, or None to come anonymously.

        Raises:
            AccessDenied: There should be a credential for this host, and it cannot be had.
        """


class Anonymous:
    """Says nothing to anybody."""

    def authorization(self, host: str) -> str | None:  # noqa: ARG002 - the protocol's parameter
        """None, for every host."""
        return None


class GoogleIdentity:
    """The identity of the environment (Application Default Credentials), told to Google alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._credentials: GoogleCredentials | None = None

    def authorization(self, host: str) -> str | None:
        """A Bearer token for Google's registries; None for all other hosts.

        Raises:
            AccessDenied: No Google credentials were found, or they gave no token.
        """
        if not is_google(host):
            return None
        with self._lock:
            return f"Bearer {self._token()}"

    def _token(self) -> str:
        # Imported on first use: the transport costs 100 ms and 14 MiB that a registry
        # elsewhere does not need.
        import google.auth
        import google.auth.exceptions
        import google.auth.transport.urllib3
        import urllib3

        try:
            if self._credentials is None:
                self._credentials, _ = google.auth.default(scopes=[_SCOPE])
            if not self._credentials.valid:
                pool = urllib3.PoolManager()
                request = google.auth.transport.urllib3.Request(pool)  # type: ignore[no-untyped-call]
                self._credentials.refresh(request)  # type: ignore[no-untyped-call]
        except google.auth.exceptions.GoogleAuthError as error:
            raise AccessDenied(
                f"No Google access token could be had: {error}. On Cloud Run give the function a"
                " service account; elsewhere run `gcloud auth application-default login`"
            ) from error
        return str(self._credentials.token)


def is_google(host: str) -> bool:
    """Whether a host is one of Google's registries."""
    return host == "gcr.io" or host.endswith(_GOOGLE_SUFFIXES)
