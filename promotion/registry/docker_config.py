"""What ``docker login`` has left behind: ``config.json`` and the programs that it names.

For the command line. A registry's entry in ``credHelpers`` comes before ``credsStore``, and both
before what stands in ``auths`` itself.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from promotion import typed
from promotion.errors import AccessDenied
from promotion.registry.concealed import Concealing
from promotion.registry.credential_helper import ask_helper
from promotion.registry.credentials import Credential, IdentityToken, Login, Token, is_token

Value = TypeVar("Value")

_HUB_KEY = "https://index.docker.io/v1/"
_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


class _Entry(Concealing, msgspec.Struct):
    auth: str = ""
    username: str = ""
    password: str = ""
    identity_token: str = msgspec.field(name="identitytoken", default="")
    registry_token: str = msgspec.field(name="registrytoken", default="")


class _Config(msgspec.Struct):
    auths: dict[str, _Entry] = {}
    helpers: dict[str, str] = msgspec.field(name="credHelpers", default_factory=dict)
    store: str = msgspec.field(name="credsStore", default="")


def default_path(environment: Mapping[str, str]) -> Path:
    """Where Docker keeps its configuration: ``$DOCKER_CONFIG``, or ``.docker`` at home."""
    home = Path(environment.get("HOME", "~")).expanduser()
    return Path(environment.get("DOCKER_CONFIG") or home / ".docker") / "config.json"


class DockerConfig:
    """The credentials in a configuration file of Docker's; none if there is no such file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._found: dict[str, Credential | None] = {}

    def find(self, host: str) -> Credential | None:
        """What the file, or the program that it names, has for the host.

        Raises:
            AccessDenied: The file cannot be understood, or the program fails.
        """
        with self._lock:
            if host not in self._found:
                self._found[host] = self._look_up(host)
            return self._found[host]

    def renew(self, host: str) -> None:
        """Look into the file, and ask the program, anew."""
        with self._lock:
            self._found.pop(host, None)

    def _look_up(self, host: str) -> Credential | None:
        config = self._read()
        helper = _of_host(config.helpers, host) or config.store
        if helper and (found := ask_helper(helper, _key(host))):
            return found
        entry = _of_host(config.auths, host)
        return self._credential(entry, host) if entry else None

    def _read(self) -> _Config:
        try:
            return typed.decode(self._path.read_bytes(), _Config)
        except (FileNotFoundError, NotADirectoryError):
            return _Config()
        except (OSError, ValueError, RecursionError) as error:
            text = f"Could not read Docker's configuration {self._path}: {error}"
            raise AccessDenied(text) from error

    def _credential(self, entry: _Entry, host: str) -> Credential | None:
        if entry.identity_token:
            return IdentityToken(entry.identity_token)
        if entry.registry_token:
            if not is_token(entry.registry_token):
                raise self._damaged(host)
            return Token(entry.registry_token)
        if not entry.auth:
            return Login(entry.username, entry.password) if entry.username else None
        try:
            username, colon, password = base64.b64decode(entry.auth).decode().partition(":")
        except ValueError:
            colon = ""
        if not colon:
            raise self._damaged(host)
        return Login(username, password.strip("\0"))

    def _damaged(self, host: str) -> AccessDenied:
        return AccessDenied(
            f"The entry for {host} in {self._path} is damaged: run `docker login {host}` again"
        )


def _key(host: str) -> str:
    """What Docker calls a registry."""
    return _HUB_KEY if host in _HUB_HOSTS else host


def _of_host(entries: Mapping[str, Value], host: str) -> Value | None:
    """The entry for a host; its key may be a URL, as early versions of Docker wrote it.

    Such a one may be left beside the entry that a later login wrote, which is the one that counts.
    """
    if (found := entries.get(_key(host))) is not None:
        return found
    names = _HUB_HOSTS if host in _HUB_HOSTS else {host}
    for key, value in entries.items():
        if re.sub("^https?://", "", key).partition("/")[0] in names:
            return value
    return None
