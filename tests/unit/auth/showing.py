"""What there is to be shown, who asks for it, and when."""

from __future__ import annotations

from collections.abc import Callable

from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.credentials import Credential, Login
from promotion.registry.fetch import Answer
from tests.unit.endpoint import Asked, Endpoint, answer

HOST = "registry.example"
REALM = f"https://{HOST}/token"
BEARER = f'Bearer realm="{REALM}",service="the service",scope="repository:other:pull"'
BASIC = 'Basic realm="registry"'
PULL = ["repository:a:pull"]
PUSH = ["repository:b:pull,push"]
LOGIN = Login("ann", "secret:word")
AS_BASIC = "Basic YW5uOnNlY3JldDp3b3Jk"


class Wallet:
    """Shows one credential after the other: the next whenever it is told to renew."""

    def __init__(self, *credentials: Credential | None) -> None:
        self._credentials = list(credentials)
        self.renewed = 0

    def find(self, _: str) -> Credential | None:
        """The present credential."""
        return self._credentials[0]

    def renew(self, _: str) -> None:
        """Go on to the next, if there is one."""
        self.renewed += 1
        if self._credentials[1:]:
            self._credentials.pop(0)


class Clock:
    """Shows the time that it is set to."""

    now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def accepting(password: str) -> Callable[[Asked], Answer]:
    """An endpoint that issues a token for this password alone."""

    def reply(asked: Asked) -> Answer:
        accepted = asked.login.endswith(f":{password}")
        return answer(200, {"token": "issued"}) if accepted else answer(401)

    return reply


def first_token(reply: Callable[[Asked], Answer], credential: Credential | None = LOGIN) -> str:
    """What is shown after a first 401, when the token endpoint replies so."""
    header = RegistryAuthenticator(Wallet(credential), Endpoint(reply)).renewed(
        HOST, PULL, BEARER, None
    )
    assert header is not None
    return header
