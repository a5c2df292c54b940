"""What is found out about a signing key in Cloud KMS; the rest is in test_cli_check.py."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from dev.anonymous import anonymous_transport
from promotion.artifact_registry import GoogleArtifactRegistry
from promotion.inspection import Check, State, inspect
from promotion.keys import PrivateKey
from promotion.pipeline import Pipelines, Signing
from promotion.registry.credentials import Anonymous
from promotion.registry.fetch import Fetch
from tests.unit.endpoint import Endpoint
from tests.unit.test_kms import KEY_VERSION, PUBLIC, USER, FakeKms, refusal


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The identity of somebody who has logged in."""
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps(USER), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))


def signing(fetch: Fetch, *trusted: str) -> Check:
    """What is found out about the key."""
    pipelines = Pipelines([], signing=Signing(kms=KEY_VERSION, trusted=trusted))
    nothing = GoogleArtifactRegistry(Anonymous())
    (check,) = inspect(pipelines, anonymous_transport(), nothing, fetch)
    return check


def test_a_key_that_signs_and_is_trusted_is_right() -> None:
    """With or without a list of trusted keys; its id says which it is."""
    for trusted in ((), (PUBLIC.pem,)):
        check = signing(Endpoint(FakeKms()), *trusted)
        assert check.state is State.OK
        assert PUBLIC.key_id[:12] in check.message


def test_what_is_signed_is_no_statement() -> None:
    """The key's signature over the probe is good for nothing else: its type is signed with it."""
    google = Endpoint(FakeKms())
    signing(google)
    (request,) = (each for each in google.asked if each.url.endswith(":asymmetricSign"))
    encoded = b"DSSEv1 31 application/vnd.promotion.check 19 Does this key sign?"
    digest = base64.b64encode(hashlib.sha256(encoded).digest()).decode()
    assert json.loads(request.body or b"")["digest"] == {"sha256": digest}


def test_a_key_that_is_not_trusted_is_an_error() -> None:
    """The remedy is its public key."""
    check = signing(Endpoint(FakeKms()), PrivateKey.generate().public.pem)
    assert check.state is State.ERROR
    assert check.remedy == f"add to signing.trusted:\n{PUBLIC.pem}"


def test_a_key_that_this_identity_may_not_use_has_a_command() -> None:
    """It gives the right to sign, on that key alone."""
    check = signing(Endpoint(FakeKms(signed=refusal(403, "PERMISSION_DENIED", "No."))))
    assert check.state is State.ERROR
    assert "answered 403 PERMISSION_DENIED: No." in check.message
    assert check.remedy == (
        "gcloud kms keys add-iam-policy-binding k --project p --location l --keyring r"
        " --member serviceAccount:EMAIL --role roles/cloudkms.signerVerifier"
    )


def test_a_key_that_is_not_there_is_an_error() -> None:
    """The message says where its name comes from."""
    check = signing(Endpoint(FakeKms(public=refusal(404, "NOT_FOUND", "No such key."))))
    assert check.state is State.ERROR
    assert check.message.endswith("check signing.kms in promotion.yaml")
    assert check.remedy == ""
