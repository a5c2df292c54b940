"""The seam between authentication and HTTP: how a token endpoint is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from promotion.registry.concealed import Concealing


class Answer(Concealing, msgspec.Struct, frozen=True):
    """What was answered, read to its end.

    Attributes:
        headers: By names whose case does not matter, as urllib3 gives them.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


class Fetch(Protocol):
    """Sends one request, to any host. Follows no redirect: it could lead a credential away."""

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """Send the request and read the answer, whatever its status.

        Raises:
            RegistryUnavailable: There is no answer.
        """
