"""What a registry is shown after it has refused what it was shown; also to many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count

import pytest

from promotion.deadline import NEVER, keeping
from promotion.errors import AccessDenied, RegistryUnavailable
from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.credentials import Credential, GivenToken, IdentityToken, Login, Token
from promotion.registry.fetch import Answer, Fetch
from tests.unit.auth.showing import (
    AS_BASIC,
    BASIC,
    BEARER,
    HOST,
    LOGIN,
    PULL,
    PUSH,
    Wallet,
    accepting,
)
from tests.unit.endpoint import Asked, Endpoint, answer
from tests.unit.watched import Watched

# What was refused


def test_a_refused_access_token_goes_to_the_token_endpoint() -> None:
    """Where an access token is not taken as it is, another one is issued for it from then on."""
    endpoint = Endpoint()
    credentials = Wallet(Token("ya29"))
    who = RegistryAuthenticator(credentials, endpoint)
    assert who.renewed(HOST, PUSH, BEARER, "Bearer ya29") == "Bearer token-1"
    assert who.authorization(HOST, PULL) == "Bearer token-2"
    assert {asked.login for asked in endpoint.asked} == {"oauth2accesstoken:ya29"}
    assert credentials.renewed == 0


def test_an_access_token_that_has_ended_is_renewed() -> None:
    """An access token that the endpoint refuses too is renewed, once, and the new one shown."""
    credentials = Wallet(Token("old"), Token("new"))
    endpoint = Endpoint(accepting("new"))
    who = RegistryAuthenticator(credentials, endpoint)
    assert who.renewed(HOST, PUSH, BEARER, "Bearer old") == "Bearer issued"
    assert [asked.login.partition(":")[2] for asked in endpoint.asked] == ["old", "new"]
    assert credentials.renewed == 1


@pytest.mark.parametrize("others", [(), (Login("ann", "other"),), (None,)])
def test_a_credential_is_renewed_once(others: tuple[Credential | None, ...]) -> None:
    """A credential that stays wrong is the end, after one renewal."""
    credentials = Wallet(LOGIN, *others)
    with pytest.raises(AccessDenied, match="answered 401"):
        RegistryAuthenticator(credentials, Endpoint(accepting("right"))).renewed(
            HOST, PULL, BEARER, None
        )
    assert credentials.renewed == 1


@pytest.mark.parametrize(
    ("credentials", "challenge", "refused", "header"),
    [
        (Wallet(Token("old"), Token("new")), "", "Bearer old", "Bearer new"),
        (Wallet(Token("new")), "", "Bearer old", "Bearer new"),
        (Wallet(Token("old")), "", "Bearer old", None),
        (Wallet(Token("old"), None), "", "Bearer old", None),
        (Wallet(Token("old")), BASIC, "Bearer old", "Basic b2F1dGgyYWNjZXNzdG9rZW46b2xk"),
        (Wallet(Login("ann", "old"), LOGIN), BASIC, "Basic YW5uOm9sZA==", AS_BASIC),
        (Wallet(LOGIN), BASIC, AS_BASIC, None),
    ],
)
def test_what_is_shown_directly_is_renewed(
    credentials: Wallet, challenge: str, refused: str, header: str | None
) -> None:
    """A refused token or password is renewed, unless it was in the meantime; else that is all."""
    who = RegistryAuthenticator(credentials, Endpoint())
    assert who.renewed(HOST, PULL, challenge, refused) == header


@pytest.mark.parametrize("challenge", [BEARER, ""])
def test_an_issued_token_that_is_refused_is_issued_anew(challenge: str) -> None:
    """A kept token that is no longer taken is dropped, also if the registry no longer says why."""
    endpoint = Endpoint()
    who = RegistryAuthenticator(Wallet(LOGIN), endpoint)
    who.renewed(HOST, PULL, BEARER, None)
    assert who.renewed(HOST, PULL, challenge, "Bearer token-1") == "Bearer token-2"
    assert who.renewed(HOST, PULL, challenge, "Bearer token-1") == "Bearer token-2"
    assert who.authorization(HOST, PULL) == "Bearer token-2"
    assert len(endpoint.asked) == 2


def test_the_same_token_again_is_no_better() -> None:
    """An endpoint that has no other token than the refused one leaves nothing to say."""
    endpoint = Endpoint(lambda _: answer(200, {"token": "issued", "expires_in": 300}))
    who = RegistryAuthenticator(Wallet(LOGIN), endpoint)
    who.renewed(HOST, PULL, BEARER, None)
    assert who.renewed(HOST, PULL, BEARER, "Bearer issued") is None


# Many threads


class Crowd:
    """Threads that do the same, and an endpoint that answers one when all others wait for it."""

    def __init__(self) -> None:
        self._others = 0
        self._waiting = threading.Semaphore(0)

    def do(self, task: Callable[[], str | None], threads: int = 16) -> list[str | None]:
        """Do it on so many threads."""
        self._others = threads - 1
        with ThreadPoolExecutor(threads) as executor:
            done = list(executor.map(self._do, [task] * threads))
        self._others = 0
        return done

    def asked(self, fetch: Fetch) -> Endpoint:
        """The endpoint."""

        def reply(asked: Asked) -> Answer:
            for _ in range(self._others):
                assert self._waiting.acquire(timeout=60)
            return fetch(asked.method, asked.url, asked.headers, asked.body)

        return Endpoint(reply)

    def _do(self, task: Callable[[], str | None]) -> str | None:
        with keeping(NEVER.unless(Watched(self._waiting.release))):
            return task()


def test_threads_share_one_token() -> None:
    """However many threads are refused at the same time, the endpoint is asked once."""
    endpoint, crowd = Endpoint(), Crowd()
    who = RegistryAuthenticator(Wallet(LOGIN), crowd.asked(endpoint))
    assert crowd.do(lambda: who.renewed(HOST, PULL, BEARER, None)) == ["Bearer token-1"] * 16
    assert crowd.do(lambda: who.authorization(HOST, PUSH)) == ["Bearer token-2"] * 16
    refused = "Bearer token-1"
    assert crowd.do(lambda: who.renewed(HOST, PULL, BEARER, refused)) == ["Bearer token-3"] * 16
    assert len(endpoint.asked) == 3


def test_threads_share_one_error() -> None:
    """All who wait for a token learn that there is none, and the next one asks again."""
    endpoint, crowd = Endpoint(lambda _: answer(503)), Crowd()
    who = RegistryAuthenticator(Wallet(LOGIN), crowd.asked(endpoint))

    def ask() -> str | None:
        with pytest.raises(RegistryUnavailable):
            who.renewed(HOST, PULL, BEARER, None)
        return None

    crowd.do(ask)
    assert len(endpoint.asked) == 1
    ask()
    assert len(endpoint.asked) == 2


def test_threads_share_one_renewal() -> None:
    """A token that ends under many requests is renewed once for all of them."""
    credentials = Wallet(Token("old"), Token("new"), Token("too many"))
    who = RegistryAuthenticator(credentials, Endpoint())
    assert Crowd().do(lambda: who.renewed(HOST, PULL, "", "Bearer old")) == ["Bearer new"] * 16
    assert credentials.renewed == 1


class Overtaken(Wallet):
    """Shows credentials of which another thread renews one in the moment after a look."""

    def __init__(self, *credentials: Credential | None, look: int) -> None:
        super().__init__(*credentials)
        self._looks = count(1)
        self._overtaken_at = look
        self.overtake: Callable[[], object] = list

    def find(self, host: str) -> Credential | None:
        """What it was before that moment."""
        found = super().find(host)
        if next(self._looks) == self._overtaken_at:
            self.overtake()
        return found


@pytest.mark.parametrize("look", [1, 2])
def test_what_another_thread_has_renewed_is_not_renewed_again(look: int) -> None:
    """Whenever that was: whoever has still seen the old token finds the new one."""
    credentials = Overtaken(Token("old"), Token("new"), Token("too many"), look=look)
    who = RegistryAuthenticator(credentials, Endpoint())
    credentials.overtake = partial(who.renewed, HOST, PULL, "", "Bearer old")
    assert who.renewed(HOST, PULL, "", "Bearer old") == "Bearer new"
    assert credentials.renewed == 1


# Nothing is told


def test_credentials_are_not_shown() -> None:
    """No credential, nor a token that was issued for one, can be read from how it prints."""
    who = RegistryAuthenticator(Wallet(LOGIN), Endpoint())
    who.renewed(HOST, PULL, BEARER, None)
    shown = [LOGIN, Token("secret"), IdentityToken("secret"), GivenToken("secret")]
    texts = f"{shown} {who} {who._tokens._kept}"
    assert "secret" not in texts
    assert "token-1" not in texts
