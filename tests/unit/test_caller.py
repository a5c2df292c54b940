"""Who promotes by hand, as far as the command can tell."""

from __future__ import annotations

import getpass
import json
import os
import socket
from pathlib import Path

import pytest

from promotion.commands.caller import caller
from promotion.evidence.by_hand import Author
from tests.unit.endpoint import Endpoint
from tests.unit.test_google import ACCOUNT, HOST, google, service_account


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A session of somebody called ann, whose default credentials are a service account's."""
    key = tmp_path / "key.json"
    key.write_text(json.dumps(service_account()), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    monkeypatch.setenv("LOGNAME", "ann")


def test_on_googles_registries_it_is_the_account_of_the_credentials(tmp_path: Path) -> None:
    """Those that are given for the destination, else those of the environment."""
    google_account = Author(ACCOUNT, "google-credentials")
    assert caller(HOST, {}, Endpoint(google)) == google_account
    file = tmp_path / "given.json"
    file.write_text(json.dumps({**service_account(), "client_email": "given@acme.example"}))
    given = {"DEST_AUTH_OVERRIDE": str(file), "DEST_ACCESS_TOKEN": "token"}
    assert caller(HOST, given, Endpoint(google)).name == "given@acme.example"


@pytest.mark.parametrize(
    ("host", "given"), [("registry.example", {}), (HOST, {"DEST_ACCESS_TOKEN": "token"})]
)
def test_elsewhere_it_is_the_user_of_the_session(host: str, given: dict[str, str]) -> None:
    """A token does not say whose it is, and another identity's account is not taken for it."""
    endpoint = Endpoint(google)
    session = Author(f"ann@{socket.gethostname()}", "operating-system")
    assert caller(host, given, endpoint) == session
    assert endpoint.asked == []


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user is in no list."""

    def nobody() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nobody)
    name = caller("registry.example", {}, Endpoint(google)).name
    assert name == f"uid-{os.getuid()}@{socket.gethostname()}"
