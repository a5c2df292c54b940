"""Credentials: who one is on either side of a copy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from promotion.errors import AccessDenied, BadConfiguration
from promotion.registry.credentials import (
    Anonymous,
    Credential,
    FirstOf,
    GivenToken,
    Login,
    Token,
)
from promotion.registry.side import Side, credentials_of
from tests.unit.endpoint import Endpoint, answer

GOOGLE = "europe-west2-docker.pkg.dev"
ELSEWHERE = "registry.example"
BY_LOGIN = Login("ann", "word")


class Failing:
    """A place that should have something and does not."""

    def find(self, host: str) -> Credential | None:
        """Fail."""
        raise AccessDenied(f"nothing for {host}")

    def renew(self, host: str) -> None:
        """Fail."""
        raise AccessDenied(f"nothing for {host}")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Somebody who has logged in to Google and, by Docker, to a registry elsewhere."""
    auths = {host: {"username": "ann", "password": "word"} for host in (GOOGLE, ELSEWHERE)}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(user(tmp_path, "default")))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "acme")
    return {"DOCKER_CONFIG": str(tmp_path)}


def user(folder: Path, name: str) -> Path:
    """A file with a Google login, whose tokens are named after it."""
    login = {"type": "authorized_user", "client_id": "id", "client_secret": "s"}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**login, "refresh_token": name}), encoding="utf-8")
    return path


def google() -> Endpoint:
    """A Google that issues tokens for logins."""
    return Endpoint(
        lambda asked: answer(
            200, {"access_token": f"of {asked.form['refresh_token'][0]}", "expires_in": 3599}
        )
    )


def test_nobody_shows_nothing() -> None:
    """Who comes anonymously comes so to every host."""
    Anonymous().renew(GOOGLE)
    assert Anonymous().find(GOOGLE) is None


def test_a_given_token_is_for_every_host_of_its_side() -> None:
    """Whoever gives the token knows which registry it is for, and gives a new one if it ends."""
    token = GivenToken("ya29")
    token.renew(GOOGLE)
    assert token.find(GOOGLE) == token.find(ELSEWHERE) == Token("ya29")


def test_the_first_place_that_has_something_counts() -> None:
    """A later place is asked only if all before it have nothing."""
    places = FirstOf(Anonymous(), GivenToken("a"), Failing())
    assert places.find(GOOGLE) == Token("a")
    assert FirstOf(Anonymous(), Anonymous()).find(GOOGLE) is None


def test_a_place_that_fails_is_not_passed_over() -> None:
    """Nobody becomes somebody else because his own credential is broken."""
    places = FirstOf(Failing(), GivenToken("a"))
    with pytest.raises(AccessDenied, match=f"nothing for {GOOGLE}"):
        places.find(GOOGLE)


def test_all_places_forget() -> None:
    """A renewal reaches every place."""
    with pytest.raises(AccessDenied):
        FirstOf(Anonymous(), Failing()).renew(GOOGLE)


@pytest.mark.parametrize(
    ("given", "on_google", "elsewhere"),
    [
        ([], Token("of default"), BY_LOGIN),
        (["AUTH_OVERRIDE"], Token("of override"), BY_LOGIN),
        (["ACCESS_TOKEN"], Token("given"), Token("given")),
        (["AUTH_OVERRIDE", "ACCESS_TOKEN"], Token("of override"), Token("given")),
    ],
)
@pytest.mark.parametrize("side", Side)
def test_a_side_is_who_it_is_told_to_be(
    environment: dict[str, str],
    tmp_path: Path,
    side: Side,
    given: list[str],
    on_google: Credential,
    elsewhere: Credential,
) -> None:
    """Its file, its token, the default identity, Docker's: in this order, and for whom they are."""
    values = {"AUTH_OVERRIDE": str(user(tmp_path, "override")), "ACCESS_TOKEN": "given\n"}
    settings = {f"{side}_{name}": values[name] for name in given}
    credentials = credentials_of(side, environment | settings, google())
    assert credentials.find(GOOGLE) == on_google
    assert credentials.find(ELSEWHERE) == elsewhere


def test_the_sides_are_not_mixed(environment: dict[str, str], tmp_path: Path) -> None:
    """What is given for one side is not used on the other."""
    settings = environment | {
        "SOURCE_AUTH_OVERRIDE": str(user(tmp_path, "source")),
        "DEST_ACCESS_TOKEN": "given",
    }
    source, destination = (credentials_of(side, settings, google()) for side in Side)
    assert source.find(GOOGLE) == Token("of source")
    assert destination.find(GOOGLE) == Token("given")
    assert source.find(ELSEWHERE) == BY_LOGIN


def test_a_broken_override_is_an_error(environment: dict[str, str]) -> None:
    """Who is told to be somebody is never somebody else instead."""
    settings = environment | {"SOURCE_AUTH_OVERRIDE": "/absent.json"}
    with pytest.raises(AccessDenied, match=r"/absent\.json"):
        credentials_of(Side.SOURCE, settings, google()).find(GOOGLE)


@pytest.mark.parametrize("value", ["two words", "line\nbreak", "tökän"])
def test_an_access_token_that_is_none_is_an_error(value: str) -> None:
    """The error names the variable, and not what it holds."""
    with pytest.raises(BadConfiguration, match="DEST_ACCESS_TOKEN") as caught:
        credentials_of(Side.DESTINATION, {"DEST_ACCESS_TOKEN": value}, google())
    assert value not in str(caught.value)
