"""What a registry is shown after it has refused what it was shown; also to many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

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


def at_once(task: Callable[[], str | None], threads: int = 16) -> list[str | None]:
    """Do the same on many threads that begin together."""
    together = threading.Barrier(threads)

    def begin(_: int) -> str | None:
        together.wait()
        return task()

    with ThreadPoolExecutor(threads) as executor:
        return list(executor.map(begin, range(threads)))


def slowly(fetch: Fetch) -> Callable[[Asked], Answer]:
    """An endpoint that takes its time, so that all threads come to wait for it."""

    def reply(asked: Asked) -> Answer:
        threading.Event().wait(0.05)
        return fetch(asked.method, asked.url, asked.headers, asked.body)

    return reply


def test_threads_share_one_token() -> None:
    """However many threads are refused at the same time, the endpoint is asked once."""
    endpoint = Endpoint()
    who = RegistryAuthenticator(Wallet(LOGIN), Endpoint(slowly(endpoint)))
    assert at_once(lambda: who.renewed(HOST, PULL, BEARER, None)) == ["Bearer token-1"] * 16
    assert at_once(lambda: who.authorization(HOST, PUSH)) == ["Bearer token-2"] * 16
    refused = "Bearer token-1"
    assert at_once(lambda: who.renewed(HOST, PULL, BEARER, refused)) == ["Bearer token-3"] * 16
    assert len(endpoint.asked) == 3


def test_threads_share_one_error() -> None:
    """All who wait for a token learn that there is none, and the next one asks again."""
    endpoint = Endpoint(lambda _: answer(503))
    who = RegistryAuthenticator(Wallet(LOGIN), Endpoint(slowly(endpoint)))

    def ask() -> str | None:
        with pytest.raises(RegistryUnavailable):
            who.renewed(HOST, PULL, BEARER, None)
        return None

    at_once(ask)
    assert len(endpoint.asked) == 1
    ask()
    assert len(endpoint.asked) == 2


def test_threads_share_one_renewal() -> None:
    """A token that ends under many requests is renewed once for all of them."""
    credentials = Wallet(Token("old"), Token("new"), Token("too many"))
    who = RegistryAuthenticator(credentials, Endpoint())
    assert at_once(lambda: who.renewed(HOST, PULL, "", "Bearer old")) == ["Bearer new"] * 16
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
