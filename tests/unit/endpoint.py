"""A token endpoint that answers as a test wants, behind no network at all."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from urllib.parse import parse_qs, urlsplit

from urllib3 import HTTPHeaderDict

from promotion.registry.fetch import Answer


@dataclass(frozen=True)
class Asked:
    """One request that was sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None

    @property
    def address(self) -> str:
        """The URL without its query."""
        return self.url.partition("?")[0]

    @property
    def query(self) -> dict[str, list[str]]:
        """The parameters in the URL, each with its values in order."""
        return parse_qs(urlsplit(self.url).query)

    @property
    def form(self) -> dict[str, list[str]]:
        """The parameters in the body, each with its values in order."""
        return parse_qs((self.body or b"").decode())

    @property
    def login(self) -> str:
        """The name and the password of Basic authentication; empty if there was none."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(value).decode() if scheme == "Basic" else ""


def answer(status: int, content: object = b"", **headers: str) -> Answer:
    """An answer of some bytes, or of something as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, HTTPHeaderDict(names), body)


class Endpoint:
    """Answers requests by a function, and keeps what it was ``asked``.

    Without a function it issues the tokens ``token-1``, ``token-2`` and so on.
    """

    def __init__(self, reply: Callable[[Asked], Answer] | None = None) -> None:
        self.asked: list[Asked] = []
        self._reply = reply or self._issue
        self._lock = Lock()

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """Answer a request, as `Fetch` does."""
        asked = Asked(method, url, headers, body)
        with self._lock:
            self.asked.append(asked)
        return self._reply(asked)

    def _issue(self, _: Asked) -> Answer:
        return answer(200, {"token": f"token-{len(self.asked)}", "expires_in": 300})
