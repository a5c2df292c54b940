"""The embedded registry, which answers so many requests a second and refuses the others."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from werkzeug.wrappers import Request, Response

from dev.distribution import Distribution
from dev.registry import EmbeddedRegistry


class Limited(Distribution):
    """A registry's content, behind a limit that can be set in force.

    Attributes:
        statuses: How each request since then was answered.
    """

    def __init__(self, root: Path, limit: int) -> None:
        super().__init__(root)
        self._limit = limit
        self._times: deque[float] | None = None
        self._lock = threading.Lock()
        self.statuses: list[int] = []

    def begin(self) -> None:
        """Let the limit be in force from now on."""
        self._times = deque()

    def answer(self, request: Request) -> Response:
        """Answer it, or refuse it with 429; what is refused does not count against the limit."""
        if not self._admits():
            self.statuses.append(429)
            return Response('{"errors": [{"code": "TOOMANYREQUESTS"}]}', 429)
        answer = super().answer(request)
        self.statuses.append(answer.status_code)
        return answer

    def _admits(self) -> bool:
        with self._lock:
            if self._times is None:
                return True
            now = time.monotonic()
            while self._times and self._times[0] <= now - 1.0:
                self._times.popleft()
            if len(self._times) >= self._limit:
                return False
            self._times.append(now)
            return True


class LimitedRegistry:
    """A registry that runs."""

    def __init__(self, host: str, content: Limited) -> None:
        self.host = host
        self._content = content

    @property
    def statuses(self) -> list[int]:
        """How each request was answered since the limit is in force."""
        return self._content.statuses

    def begin(self) -> None:
        """Let the limit be in force, and forget what was answered before."""
        self._content.statuses.clear()
        self._content.begin()


@contextmanager
def limited_registry(root: Path, limit: int) -> Iterator[LimitedRegistry]:
    """Run a registry that allows so many requests a second, once it was told to begin."""
    content = Limited(root, limit)
    with EmbeddedRegistry(root, distribution=content) as registry:
        yield LimitedRegistry(registry.host, content)
