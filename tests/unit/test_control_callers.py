"""``main.control``: whose decision it is, in production and in development, and how it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from dev.stack import ROOT, three_stages
from promotion import identity
from tests.unit.controlling import WHY, Start
from tests.unit.google_tokens import AUDIENCE, PERSON, certificates, forwarded, stripped, token
from tests.unit.scripted import Answer, ScriptedServer


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """Google's certificate endpoint, on this machine."""
    with ScriptedServer(certificates()) as server:
        url = f"http://{server.host}/oauth2/v1/certs"
        verifier = partial(identity.GoogleToken, certificates=url)
        monkeypatch.setattr(identity, "GoogleToken", verifier)
        yield server


PRODUCTION = {
    "PROMOTION_DEV": "",
    "PROMOTION_CONTROL_AUDIENCE": f"https://promotion.acme.example {AUDIENCE}",
}


def test_in_production_the_author_is_who_the_token_names(
    start_control: Start, google: ScriptedServer
) -> None:
    """Whoever that is; the certificates are fetched once."""
    function = start_control(**PRODUCTION)
    image, digest = function.push()
    for _ in range(2):
        answer = function.ask(200, forwarded(token()), action="approve", image=image, **WHY)
        assert answer["author"] == PERSON
    acts = function.store.read(digest, [function.repository("fast-feedback/shop")]).acts
    assert {each.said.author for each in acts} == {PERSON}
    assert len(google.asked) == 1


@pytest.mark.usefixtures("google")
@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "carries no identity token"),
        ({"Authorization": f"Bearer {stripped(token())}"}, "taken the signature off"),
        (forwarded(token("somebody else")), "none of Google's keys"),
        (forwarded(token(aud="https://evil.example")), "wrong audience"),
        (forwarded(token(email_verified=False)), "not verified"),
    ],
)
def test_in_production_nobody_decides_without_a_token_that_counts(
    start_control: Start, headers: dict[str, str], why: str
) -> None:
    """401 with the reason, and nothing is written or even looked up."""
    function = start_control(**PRODUCTION)
    image, _ = function.push()
    function.registry.served.clear()
    assert why in function.ask(401, headers, action="approve", image=image, **WHY)["error"]
    assert not function.registry.served


@pytest.mark.usefixtures("google")
def test_in_production_a_body_that_names_its_author_is_a_bad_request(start_control: Start) -> None:
    """400, even where it names who the token names."""
    function = start_control(**PRODUCTION)
    image, _ = function.push()
    content = {"action": "approve", "image": image, "author": PERSON, **WHY}
    assert "leave author out" in function.ask(400, forwarded(token()), **content)["error"]


def test_without_googles_certificates_it_is_worth_another_try(
    start_control: Start, google: ScriptedServer
) -> None:
    """503: that nobody can be identified is not the caller's fault."""
    google.answers[:] = [Answer(500)]
    function = start_control(**PRODUCTION)
    image, _ = function.push()
    error = function.ask(503, forwarded(token()), action="approve", image=image, **WHY)["error"]
    assert "no identity can be verified" in error


def test_in_development_the_body_must_name_its_author(start_control: Start) -> None:
    """401 otherwise."""
    function = start_control()
    image, _ = function.push()
    assert "author" in function.ask(401, {}, action="approve", image=image, **WHY)["error"]


def test_without_an_audience_nothing_is_started(
    start_control: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    """A token for any other service would count: that is an error of the configuration."""
    with pytest.raises(SystemExit) as ended:
        start_control(PROMOTION_DEV="", PROMOTION_CONTROL_AUDIENCE=" ")
    assert ended.value.code == 1
    assert "PROMOTION_CONTROL_AUDIENCE is not set" in capsys.readouterr().err


def test_messages_do_not_wait_for_what_only_decisions_need(tmp_path: Path) -> None:
    """The function that takes messages starts without loading any of it."""
    file = tmp_path / "promotion.yaml"
    file.write_text(three_stages("127.0.0.1:1"))
    program = (
        "import sys, main; names = ('control', 'decision', 'identity');"
        " print([each for each in names if f'promotion.{each}' in sys.modules])"
    )
    environment = {**os.environ, "PROMOTION_CONFIG": str(file), "FUNCTION_TARGET": "promote"}
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, cwd=ROOT, env=environment, text=True) == "[]\n"
