"""Who is asking: which identity tokens count, and what is said of those that do not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from promotion.errors import BadMessage, NotIdentified, RegistryUnavailable
from promotion.identity import GoogleToken, NamedAuthor
from promotion.registry.connections import Connections
from tests.unit.google_tokens import (
    AUDIENCE,
    PERSON,
    certificates,
    forwarded,
    stripped,
    token,
)
from tests.unit.scripted import Answer, ScriptedServer

Verify = Callable[..., GoogleToken]


@pytest.fixture
def google() -> Iterator[ScriptedServer]:
    """Google's certificate endpoint."""
    with ScriptedServer(certificates()) as server:
        yield server


@pytest.fixture
def verify() -> Iterator[Verify]:
    """Makes what verifies tokens with the certificates of a server."""
    connections = Connections()

    def verify(google: ScriptedServer, *audiences: str) -> GoogleToken:
        url = f"http://{google.host}/oauth2/v1/certs"
        return GoogleToken(connections.fetch, audiences or [AUDIENCE], url)

    yield verify
    connections.close()


def test_the_author_is_who_the_token_names(google: ScriptedServer, verify: Verify) -> None:
    """The token in Authorization is verified whole; the other one is what Cloud Run has left."""
    assert verify(google).author(forwarded(token()), "") == PERSON
    assert [(each.method, each.path) for each in google.asked] == [("GET", "/oauth2/v1/certs")]


@pytest.mark.parametrize("issuer", ["https://accounts.google.com", "accounts.google.com"])
def test_both_of_the_issuers_names_count(
    google: ScriptedServer, verify: Verify, issuer: str
) -> None:
    """Google writes its name in two ways."""
    assert verify(google).author(forwarded(token(iss=issuer)), "") == PERSON


def test_each_of_several_audiences_counts(google: ScriptedServer, verify: Verify) -> None:
    """A service may have several names, and gcloud has one of its own."""
    verifier = verify(google, "https://other.example", AUDIENCE)
    assert verifier.author(forwarded(token()), "") == PERSON
    assert verifier.author(forwarded(token(aud="https://other.example")), "") == PERSON


NOW = int(time.time())
REFUSED = {
    "forged": (token("somebody else"), "none of Google's keys has signed it"),
    "of an unknown key": (token(header={"kid": "other"}), "none of Google's keys has signed it"),
    "unsigned": (token(header={"alg": "none"}), "Unsupported signature algorithm none"),
    "by a shared secret": (token(header={"alg": "HS256"}), "Unsupported signature algorithm"),
    "of another kind of key": (token(header={"alg": "ES256"}), "."),
    "expired": (token(iat=NOW - 7200, exp=NOW - 60), "Token expired"),
    "from the future": (token(iat=NOW + 24 * 3600, exp=NOW + 25 * 3600), "Token used too early"),
    "without an end": (token(exp=None), "none of Google's keys has signed it"),
    "for another service": (token(aud="https://evil.example"), "wrong audience"),
    "for several services": (token(aud=[AUDIENCE]), "wrong audience"),
    "for no service": (token(aud=None), "wrong audience"),
    "of another issuer": (token(iss="https://evil.example"), "its issuer is not https://accounts"),
    "of no issuer": (token(iss=None), "its issuer is not https://accounts"),
    "without an e-mail": (token(email=None), "names no e-mail address"),
    "with an odd e-mail": (token(email=["a"]), "names no e-mail address"),
    "unverified": (token(email_verified=False), "is not verified"),
    "hardly verified": (token(email_verified="true"), "is not verified"),
    "not said to be verified": (token(email_verified=None), "is not verified"),
    "no token": ("secret", "it is not one"),
    "no JSON": ("c2VjcmV0.c2VjcmV0.c2VjcmV0", "it is not one"),
    "deep JSON": ("W1tb" * 1500 + ".e30.e30", "it is not one"),
    "not of ASCII": ("sécrét.e30.e30", "it is not one"),
    "long": ("a" * 9000, "too long"),
}


@pytest.mark.parametrize(("sent", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_a_token_that_does_not_count_is_refused(
    google: ScriptedServer, verify: Verify, sent: str, why: str
) -> None:
    """The text says why, and repeats nothing of the token."""
    with pytest.raises(NotIdentified, match=f"^The identity token does not count: .*{why}") as no:
        verify(google).author(forwarded(sent), "")
    assert not any(part and part in str(no.value) for part in sent.split("."))
    assert "secret" not in str(no.value)


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "carries no identity token"),
        ({"Authorization": "Basic YTpi"}, "carries no identity token"),
        ({"X-Serverless-Authorization": f"Bearer {token()}"}, "carries no identity token"),
        ({"Authorization": f"Bearer {stripped(token())}"}, "has taken the signature off"),
        (
            {**forwarded(token()), "X-Serverless-Authorization": f"Bearer {token(sub='2')}"},
            "carry different tokens",
        ),
        (
            {**forwarded(token()), "X-Serverless-Authorization": "Basic YTpi"},
            "carry different tokens",
        ),
    ],
)
def test_a_token_must_come_whole_and_be_the_one_that_cloud_run_checked(
    google: ScriptedServer, verify: Verify, headers: dict[str, str], why: str
) -> None:
    """The text says to send it in both headers; Google is not even asked."""
    with pytest.raises(NotIdentified, match=f"{why}.*in both headers, X-Serverless-Authorization"):
        verify(google).author(headers, "")
    assert not google.asked


def test_the_names_of_headers_have_no_case(google: ScriptedServer, verify: Verify) -> None:
    """Whatever a proxy makes of them."""
    headers = {name.lower(): value for name, value in forwarded(token()).items()}
    assert verify(google).author(headers, "") == PERSON


def test_a_body_cannot_name_the_author(google: ScriptedServer, verify: Verify) -> None:
    """Not even the right one."""
    with pytest.raises(BadMessage, match="leave author out"):
        verify(google).author(forwarded(token()), PERSON)


@pytest.mark.parametrize(
    ("cache_control", "asked"),
    [("public, max-age=3600", 1), ("", 1), ("max-age=0", 3), ("no-cache, max-age=0", 3)],
)
def test_certificates_are_kept_as_long_as_google_says(
    verify: Verify, cache_control: str, asked: int
) -> None:
    """For five minutes, if it does not."""
    with ScriptedServer(certificates(cache_control)) as google:
        verifier = verify(google)
        for _ in range(3):
            verifier.author(forwarded(token()), "")
        assert len(google.asked) == asked


@pytest.mark.parametrize(
    "trouble", [Answer(503), Answer(302), Answer(200, b"<html>"), Answer(200, b'{"keys": []}')]
)
def test_without_certificates_nobody_is_refused_for_good(verify: Verify, trouble: Answer) -> None:
    """It is no fault of the caller's; once they are there, the same token counts."""
    with ScriptedServer(trouble, certificates()) as google:
        verifier = verify(google)
        with pytest.raises(RegistryUnavailable, match="no identity can be verified; try again"):
            verifier.author(forwarded(token()), "")
        assert verifier.author(forwarded(token()), "") == PERSON


def test_a_token_without_a_key_id_is_tried_with_all_keys(
    google: ScriptedServer, verify: Verify
) -> None:
    """One that Google has signed counts; a forged one does not."""
    assert verify(google).author(forwarded(token(header={"kid": ""})), "") == PERSON
    with pytest.raises(NotIdentified):
        verify(google).author(forwarded(token("somebody else", header={"kid": ""})), "")


def test_development_believes_the_body() -> None:
    """It must name somebody, and no token is needed."""
    assert NamedAuthor().author({}, "me@example.com") == "me@example.com"
    with pytest.raises(NotIdentified, match="give it an author"):
        NamedAuthor().author(forwarded(token()), "")


def test_google_auth_is_loaded_with_the_first_token_only() -> None:
    """A process that takes messages does not pay for it."""
    program = "import promotion.identity, sys; sys.exit('google.auth' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
