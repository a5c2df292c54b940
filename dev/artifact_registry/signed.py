"""Paths that are permission enough: where uploads go on, and where downloads are."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from werkzeug.exceptions import MethodNotAllowed
from werkzeug.wrappers import Request, Response

from dev.storage import Repository


@dataclass(frozen=True)
class Transfer:
    """An upload or a download.

    Attributes:
        repository: Where to or from.
        target: The session of the upload, the digest of the download.
        endpoints: What answers, by method.
    """

    repository: Repository
    target: str
    endpoints: Mapping[str, Callable[[Request, Repository, str], Response]]

    def answer(self, request: Request) -> Response:
        """Let the transfer go on."""
        if request.method not in self.endpoints:
            raise MethodNotAllowed(list(self.endpoints))
        return self.endpoints[request.method](request, self.repository, self.target)


class SignedPaths:
    """Paths that nobody can guess, and what they stand for."""

    def __init__(self) -> None:
        self._transfers: dict[str, Transfer] = {}

    def issue(self, folder: str, transfer: Transfer) -> str:
        """Make up a path for a transfer."""
        path = f"{folder}/{secrets.token_urlsafe(48)}"
        self._transfers[path] = transfer
        return path

    def find(self, path: str) -> Transfer | None:
        """Tell what a path stands for, if it is one of these."""
        return self._transfers.get(path)
