"""What a registry is shown from the second request on, once it has said what it wants."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
import urllib3

from dev.artifact_registry import Answers, ArtifactRegistry
from promotion.errors import AccessDenied
from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.credentials import Credential, IdentityToken, Token
from promotion.registry.fetch import Answer
from tests.unit.auth.showing import AS_BASIC, BASIC, BEARER, HOST, LOGIN, PULL, PUSH, Clock, Wallet
from tests.unit.endpoint import Endpoint, answer

# From then on


def test_a_host_that_is_known_needs_no_second_401() -> None:
    """A kept token is shown again, and for other scopes another is asked for in advance."""
    endpoint = Endpoint()
    who = RegistryAuthenticator(Wallet(LOGIN), endpoint)
    who.renewed(HOST, [*PULL, *PUSH], BEARER, None)
    assert who.authorization(HOST, [*PUSH, *PULL]) == "Bearer token-1"
    assert who.authorization(HOST, PULL) == "Bearer token-2"
    assert who.authorization(HOST, PULL) == "Bearer token-2"
    assert who.authorization("other.example", PULL) is None
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize(
    ("content", "seconds"),
    [
        ({"expires_in": 3600}, 3540),
        ({"expires_in": 300}, 240),
        ({"expires_in": 100}, 75),
        ({}, 45),
        ({"expires_in": 0}, 45),
        ({"expires_in": -1}, 45),
        ({"expires_in": 3600, "issued_at": "2026-01-31T11:50:00.123456789Z"}, 2940),
        ({"expires_in": 3600, "issued_at": "2026-01-31T11:50:00"}, 2940),
        ({"expires_in": 3600, "issued_at": "2026-01-31T12:50:00Z"}, 3540),
        ({"expires_in": 3600, "issued_at": "yesterday"}, 3540),
    ],
)
def test_a_token_is_kept_until_shortly_before_its_end(
    content: dict[str, object], seconds: int
) -> None:
    """Its age and its lifetime count by the endpoint's clock, and a margin remains."""
    clock = Clock()
    date = format_datetime(datetime(2026, 1, 31, 12, tzinfo=UTC), usegmt=True)
    endpoint = Endpoint(lambda _: answer(200, {"token": "issued", **content}, Date=date))
    who = RegistryAuthenticator(Wallet(LOGIN), endpoint, clock=clock)
    who.renewed(HOST, PULL, BEARER, None)
    clock.now += seconds - 1
    who.authorization(HOST, PULL)
    assert len(endpoint.asked) == 1
    clock.now += 2
    who.authorization(HOST, PULL)
    assert len(endpoint.asked) == 2


def test_a_token_that_was_old_when_it_was_issued_is_shown_once() -> None:
    """The request that it was asked for gets it, the next one a new one."""
    date = format_datetime(datetime(2026, 1, 31, 12, tzinfo=UTC), usegmt=True)
    content = {"token": "issued", "expires_in": 60, "issued_at": "2026-01-31T11:00:00Z"}
    endpoint = Endpoint(lambda _: answer(200, content, Date=date))
    who = RegistryAuthenticator(Wallet(LOGIN), endpoint)
    assert who.renewed(HOST, PULL, BEARER, None) == "Bearer issued"
    assert who.authorization(HOST, PULL) == "Bearer issued"
    assert len(endpoint.asked) == 2


def test_tokens_that_have_ended_are_not_kept() -> None:
    """A process that has spoken of a thousand repositories keeps the tokens that are still good."""
    clock = Clock()
    who = RegistryAuthenticator(Wallet(LOGIN), Endpoint(), clock=clock)
    for number in range(1000):
        clock.now += 1
        who.renewed(HOST, [f"repository:{number}:pull"], BEARER, None)
    assert len(who._tokens._kept) == 240


def test_basic_authentication_is_remembered() -> None:
    """A host that wants Basic gets it with every later request, without a token endpoint."""
    endpoint = Endpoint()
    who = RegistryAuthenticator(Wallet(LOGIN), endpoint)
    assert who.renewed(HOST, PULL, BASIC, None) == AS_BASIC
    assert who.authorization(HOST, PUSH) == AS_BASIC
    assert who.authorization("other.example", PUSH) is None
    assert not endpoint.asked


@pytest.mark.parametrize("credential", [None, IdentityToken("refresh")])
def test_what_cannot_be_shown_by_basic_is_not_shown(credential: Credential | None) -> None:
    """Without a name and a password there is nothing to say to a host that wants them."""
    who = RegistryAuthenticator(Wallet(credential), Endpoint())
    assert who.renewed(HOST, PULL, BASIC, None) is None
    assert who.authorization(HOST, PULL) is None


@pytest.mark.parametrize("challenge", [f"{BASIC}, {BEARER}", f"{BEARER}, {BASIC}"])
def test_of_both_schemes_the_token_is_taken(challenge: str) -> None:
    """The password goes to the token endpoint once, rather than with every request."""
    who = RegistryAuthenticator(Wallet(LOGIN), Endpoint())
    assert who.renewed(HOST, PULL, challenge, None) == "Bearer token-1"


def test_a_scheme_that_is_not_known_is_named() -> None:
    """A host that wants something else can never be met, and the error says so."""
    with pytest.raises(AccessDenied, match=f"{HOST} wants negotiate, ntlm; only Bearer and Basic"):
        RegistryAuthenticator(Wallet(LOGIN), Endpoint()).renewed(
            HOST, PULL, "Negotiate, NTLM", None
        )


@pytest.mark.parametrize("challenge", ["", "Bearer", 'Bearer error="invalid_token"', "=,="])
def test_without_a_challenge_there_is_nothing_to_say(challenge: str) -> None:
    """A 401 that does not say what is wanted stands as it is."""
    who = RegistryAuthenticator(Wallet(LOGIN), Endpoint())
    assert who.renewed(HOST, PULL, challenge, None) is None


def test_a_host_may_change_its_mind() -> None:
    """The latest challenge counts."""
    who = RegistryAuthenticator(Wallet(LOGIN), Endpoint())
    who.renewed(HOST, PULL, BASIC, None)
    assert who.renewed(HOST, PULL, BEARER, AS_BASIC) == "Bearer token-1"
    assert who.renewed(HOST, PULL, BASIC, "Bearer token-1") == AS_BASIC


def test_an_endpoint_that_fails_in_advance_is_asked_for_once() -> None:
    """After a refusal the registry is let say anew what it wants."""
    replies = [answer(200, {"token": "issued"}), answer(404)]
    who = RegistryAuthenticator(Wallet(LOGIN), Endpoint(lambda _: replies.pop(0)))
    who.renewed(HOST, PULL, BEARER, None)
    with pytest.raises(AccessDenied):
        who.authorization(HOST, PUSH)
    assert who.authorization(HOST, PUSH) is None


# Artifact Registry, either way where it is undocumented


@pytest.mark.parametrize(
    "answers",
    [
        Answers(),
        Answers(bearer_token_writes=False),
        Answers(bearer_token_writes=False, issued_token_has_scopes=True),
        Answers(unknown_token_is_challenged=False),
    ],
)
def test_artifact_registry_lets_in(tmp_path: Path, answers: Answers) -> None:
    """Reading and writing take one 401 at most, and none once an expired token was renewed."""
    tokens = {"new": {"acme": "writer"}}
    scopes = ["repository:acme/shop/app:pull,push"]
    with (
        ArtifactRegistry(tmp_path, tokens=tokens, answers=answers) as registry,  # type: ignore[arg-type]
        urllib3.PoolManager(retries=False) as pool,
    ):

        def fetch(method: str, url: str, headers: object, body: bytes | None) -> Answer:
            got = pool.request(method, url, headers=headers, body=body)  # type: ignore[arg-type]
            return Answer(got.status, got.headers, got.data)

        who = RegistryAuthenticator(Wallet(Token("old"), Token("new")), fetch)
        statuses = []
        for method, path in [
            ("GET", "tags/list"),
            ("POST", "blobs/uploads/"),
            ("GET", "tags/list"),
        ]:
            url = f"http://{registry.host}/v2/acme/shop/app/{path}"
            header = who.authorization(registry.host, scopes)
            got = pool.request(method, url, headers={"Authorization": header or ""})
            if got.status == 401:
                challenge = got.headers.get("WWW-Authenticate", "")
                better = who.renewed(registry.host, scopes, challenge, header)
                got = pool.request(method, url, headers={"Authorization": better or ""})
            statuses.append(got.status)
    assert statuses[1] == 202
    assert statuses[0] == statuses[2]
    assert 401 not in statuses
    assert sum(served.status == 401 for served in registry.served) <= 2
