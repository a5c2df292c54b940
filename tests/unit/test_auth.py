"""What a registry is shown: with the first request, after a 401, and from then on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
import urllib3

from dev.artifact_registry import Answers, ArtifactRegistry
from promotion.errors import AccessDenied, BadConfiguration, RegistryUnavailable
from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.credentials import (
    Anonymous,
    Credential,
    Credentials,
    GivenToken,
    IdentityToken,
    Login,
    Token,
)
from promotion.registry.fetch import Answer, Fetch
from promotion.registry.realm import trusted_realms
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


# Before anything is known about the host


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        (Anonymous(), None),
        (GivenToken("ya29"), "Bearer ya29"),
        (Wallet(LOGIN), None),
        (Wallet(IdentityToken("refresh")), None),
    ],
)
def test_a_token_alone_goes_with_the_first_request(
    credentials: Credentials, header: str | None
) -> None:
    """A token is sent unasked; a password is not shown before the host says what it wants."""
    endpoint = Endpoint()
    assert RegistryAuthenticator(credentials, endpoint).authorization(HOST, PULL) == header
    assert not endpoint.asked


# The token endpoint


def test_one_token_is_asked_for_all_scopes() -> None:
    """The endpoint is told the service and each scope once, that for pushing first."""
    endpoint = Endpoint()
    who = RegistryAuthenticator(Wallet(LOGIN), endpoint)
    assert who.renewed(HOST, [*PULL, *PUSH, *PULL], BEARER, None) == "Bearer token-1"
    (asked,) = endpoint.asked
    assert (asked.method, asked.address, asked.body) == ("GET", REALM, None)
    assert asked.query == {"service": ["the service"], "scope": [*PUSH, *PULL]}


@pytest.mark.parametrize(
    ("credential", "login"),
    [
        (None, ""),
        (LOGIN, "ann:secret:word"),
        (Login("jörg", "pässword"), "jörg:pässword"),
        (Token("ya29"), "oauth2accesstoken:ya29"),
    ],
)
def test_the_endpoint_is_shown_what_there_is(credential: Credential | None, login: str) -> None:
    """A login and a token are shown by Basic authentication, and nothing if there is nothing."""
    endpoint = Endpoint()
    who = RegistryAuthenticator(Wallet(credential), endpoint)
    refused = who.authorization(HOST, PULL)
    assert who.renewed(HOST, PULL, BEARER, refused) == "Bearer token-1"
    assert endpoint.asked[0].login == login


def test_an_identity_token_is_posted() -> None:
    """A refresh token goes in the body of an OAuth 2 request, never in the address."""
    endpoint = Endpoint(lambda _: answer(200, {"access_token": "issued"}))
    who = RegistryAuthenticator(Wallet(IdentityToken("refresh")), endpoint)
    assert who.renewed(HOST, [*PULL, *PUSH], BEARER, None) == "Bearer issued"
    (asked,) = endpoint.asked
    assert (asked.method, asked.url) == ("POST", REALM)
    assert asked.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert asked.form == {
        "grant_type": ["refresh_token"],
        "client_id": ["promotion"],
        "service": ["the service"],
        "scope": [f"{PUSH[0]} {PULL[0]}"],
        "refresh_token": ["refresh"],
    }


def test_a_realm_may_have_a_query() -> None:
    """What the realm's address asks for already is kept."""
    endpoint = Endpoint()
    challenge = f'Bearer realm="{REALM}?account=x"'
    RegistryAuthenticator(Anonymous(), endpoint).renewed(HOST, PULL, challenge, None)
    assert endpoint.asked[0].url == f"{REALM}?account=x&scope=repository%3Aa%3Apull"


@pytest.mark.parametrize(
    "content",
    [
        {"token": "issued", "access_token": "other"},
        {"access_token": "issued", "expires_in": "300"},
        {"token": "issued", "access_token": None, "expires_in": None, "issued_at": "yesterday"},
        {"token": "issued", "scope": ["x"], "refresh_token": "y", "expires_in": 1e300},
    ],
)
def test_a_token_is_found_under_either_name(content: object) -> None:
    """Either name will do, and nothing else in the answer is in the way."""
    assert first_token(lambda _: answer(200, content)) == "Bearer issued"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"<html>", "not a token"),
        (b"\xff", "not a token"),
        ([], "not a token"),
        ({}, "no token"),
        ({"token": ""}, "no token"),
        ({"token": "a b"}, "no header can hold"),
        ({"token": "a\r\nX-Injected: b"}, "no header can hold"),
        ({"token": "ä"}, "no header can hold"),
    ],
)
def test_what_is_not_a_token_is_refused(content: object, fault: str) -> None:
    """Whatever else the endpoint answers is an error that says what is wrong with it."""
    with pytest.raises(AccessDenied, match=f"{REALM} answered .*{fault}"):
        first_token(lambda _: answer(200, content))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_explained(status: int) -> None:
    """The endpoint's own words are repeated, but for the secret if it stands in them."""
    errors = [{"code": "DENIED", "message": "bad password\n secret:word for ann"}]
    with pytest.raises(AccessDenied) as caught:
        first_token(lambda _: answer(status, {"errors": errors}))
    text = str(caught.value)
    assert f"{HOST}: {REALM} answered {status} DENIED: bad password … for ann;" in text
    assert "secret" not in text


def test_a_missing_credential_is_explained() -> None:
    """Who has nothing to show is told where it would have been found."""
    with pytest.raises(AccessDenied, match=f"there is no credential for {HOST}.*docker login"):
        first_token(lambda _: answer(401, {"details": "log in"}), credential=None)


@pytest.mark.parametrize("status", [302, 400, 404, 405])
def test_another_refusal_says_what_was_asked(status: int) -> None:
    """An address that is no token endpoint is named; a redirect is not followed."""
    with pytest.raises(AccessDenied, match=f"{REALM} answered {status}.*address of a token"):
        first_token(lambda _: answer(status, Location="https://evil.example"))


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_endpoint_is_tried_again_later(status: int) -> None:
    """The error passes on for how long the endpoint wants to be left alone."""
    with pytest.raises(RegistryUnavailable, match=f"answered {status}") as caught:
        first_token(lambda _: answer(status, b"busy", Retry_After="7"))
    assert caught.value.retry_after == 7


# Which endpoints are asked


@pytest.mark.parametrize(
    ("host", "realm"),
    [
        (HOST, "https://registry.example:8443/token"),
        (f"{HOST}:5000", "https://REGISTRY.example/token"),
        ("registry-1.docker.io", "https://auth.docker.io/token"),
        ("docker.io", "https://auth.docker.io/token"),
        ("registry.gitlab.com", "https://gitlab.com/jwt/auth"),
        ("127.0.0.1:5000", "http://localhost:5001/token"),
        ("[::1]:5000", "http://[::1]:5001/token"),
        ("other.example:5000", "https://login.example/token"),
    ],
)
def test_a_trusted_realm_is_asked(host: str, realm: str) -> None:
    """The registry's own host, the well-known ones, and those that the configuration names."""
    endpoint = Endpoint()
    trusted = trusted_realms({"PROMOTION_TRUSTED_REALMS": "other.example:5000=login.example"})
    who = RegistryAuthenticator(Wallet(LOGIN), endpoint, trusted)
    assert who.renewed(host, PULL, f'Bearer realm="{realm}"', None) == "Bearer token-1"
    assert endpoint.asked[0].address == realm


@pytest.mark.parametrize("credential", [None, LOGIN, Token("ya29"), IdentityToken("refresh")])
@pytest.mark.parametrize(
    ("host", "realm", "fault"),
    [
        (HOST, "https://evil.example/token", f"PROMOTION_TRUSTED_REALMS={HOST}=evil.example"),
        (HOST, "https://auth.registry.example/token", "goes to no other host"),
        (HOST, "https://example/token", "goes to no other host"),
        (HOST, "https://registry.example.evil.example/token", "goes to no other host"),
        (HOST, "https://169.254.169.254/token", "goes to no other host"),
        (HOST, "http://localhost/token", "goes to no other host"),
        (HOST, "http://registry.example/token", "without TLS"),
        ("127.0.0.1:5000", "http://registry.example/token", "goes to no other host"),
        (HOST, "https://registry.example@evil.example/token", "not a URL"),
        (HOST, "https://evil.example\\@registry.example/token", "not a URL"),
        (HOST, "https://registry.example\n/token", "not a URL"),
        (HOST, "https://registry.example /token", "not a URL"),
        (HOST, "ftp://registry.example/token", "not a URL"),
        (HOST, "/token", "not a URL"),
        (HOST, "https://", "not a URL"),
    ],
)
def test_no_other_realm_is_asked(
    host: str, realm: str, fault: str, credential: Credential | None
) -> None:
    """A realm on any other host is not contacted at all; the error names it and the way out."""
    endpoint = Endpoint()
    who = RegistryAuthenticator(Wallet(credential), endpoint)
    quoted = realm.replace("\\", "\\\\")
    with pytest.raises(AccessDenied, match=fault.replace(".", r"\.")):
        who.renewed(host, PULL, f'Bearer realm="{quoted}"', None)
    assert not endpoint.asked


def test_trusted_realms_are_read() -> None:
    """Pairs of a registry and a host, of which a registry may have several."""
    text = "a.example=x.example, a.example=y.example\nb.example:5000=z.example"
    assert trusted_realms({"PROMOTION_TRUSTED_REALMS": text}) == {
        "a.example": {"x.example", "y.example"},
        "b.example:5000": {"z.example"},
    }
    assert trusted_realms({}) == {}


@pytest.mark.parametrize("text", ["a.example", "a.example=https://x.example", "=", "a=b=c", "*=*"])
def test_trusted_realms_of_another_form_are_refused(text: str) -> None:
    """The error names the variable and repeats what is wrong with it."""
    with pytest.raises(BadConfiguration, match="PROMOTION_TRUSTED_REALMS has"):
        trusted_realms({"PROMOTION_TRUSTED_REALMS": text})


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
