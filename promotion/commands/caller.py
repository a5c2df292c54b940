"""Who runs a command: what it can find out about that by itself, and nobody has verified."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from promotion.evidence.by_hand import Author
from promotion.registry.fetch import Fetch
from promotion.registry.google import GoogleDefaultIfAny, GoogleFile, is_google


def caller(host: str, environment: Mapping[str, str], fetch: Fetch) -> Author:
    """Whoever writes to a registry: the account of their Google credentials, if it is Google's.

    Elsewhere, and where nothing but a token is given, the user of this machine's session.

    Raises:
        AccessDenied, RegistryUnavailable: The credentials are of no use.
    """
    account = _google_account(host, environment, fetch)
    if account:
        return Author(account, "google-credentials")
    return Author(f"{_user()}@{socket.gethostname()}", "operating-system")


def _google_account(host: str, environment: Mapping[str, str], fetch: Fetch) -> str:
    """The account by the credentials that count, in the order in which they are looked for."""
    if not is_google(host):
        return ""
    if file := environment.get("DEST_AUTH_OVERRIDE"):
        return GoogleFile(Path(file), fetch).account(host)
    if environment.get("DEST_ACCESS_TOKEN"):
        return ""
    return GoogleDefaultIfAny(fetch).account(host)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
