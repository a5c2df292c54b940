"""What a registry is shown first, and which token endpoints are asked for more."""

from __future__ import annotations

import pytest

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
from promotion.registry.realm import trusted_realms
from tests.unit.auth.showing import BEARER, HOST, LOGIN, PULL, PUSH, REALM, Wallet, first_token
from tests.unit.endpoint import Endpoint, answer

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
