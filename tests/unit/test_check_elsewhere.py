"""``promotion check --online``: registries that are not Google's, and the signing key."""

from __future__ import annotations

from pathlib import Path

import pytest
import urllib3
from werkzeug.wrappers import Response

from dev.distribution import Distribution
from dev.registry import EmbeddedRegistry
from dev.services import Service, docker_registry
from promotion.keys import PrivateKey
from tests.unit.checking import (
    Online,
    check,
    only,
    stage_at,
    write,
)
from tests.unit.scripted import Answer, ScriptedServer


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that the command runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def online(capsys: pytest.CaptureFixture[str]) -> Online:
    """Runs the command with --online --json."""
    return Online(capsys)


@pytest.fixture(params=["embedded", "docker"])
def elsewhere(request: pytest.FixtureRequest) -> str:
    """The host of a registry that is not Artifact Registry."""
    if request.param == "embedded":
        embedded: EmbeddedRegistry = request.getfixturevalue("near")
        return embedded.host
    service: Service = request.getfixturevalue("registry")
    return service.host


def test_reading_and_writing_are_tried(elsewhere: str, online: Online) -> None:
    """Both are fine where everybody may; whether tags can be overwritten cannot be asked."""
    write(stage_at(f"{elsewhere}/tried"))
    report = online()
    stage = f"{elsewhere}/tried/shop/prod"
    assert only(report, stage, "read")["state"] == "ok"
    assert only(report, stage, "write")["state"] == "ok"
    assert only(report, stage, "immutable tags") == {
        "subject": stage,
        "what": "immutable tags",
        "state": "warning",
        "message": "cannot be asked there",
        "remedy": f"see in the settings of {elsewhere} that tags cannot be overwritten",
    }


def test_nothing_remains_in_the_registry(
    near: EmbeddedRegistry, online: Online, directory: Path
) -> None:
    """The upload that was opened is cancelled, and no content was written."""
    write(stage_at(near.host))
    online()
    asked = [(each.method, each.status) for each in near.served]
    assert asked == [("GET", 404), ("POST", 202), ("DELETE", 204)]
    assert not [path for path in (directory / "near").rglob("*") if path.is_file()]


def test_nothing_remains_in_dockers_registry(online: Online, directory: Path) -> None:
    """It lists no repository, and keeps nothing of the upload that anybody could go on with."""
    (directory / "docker").mkdir()
    with docker_registry(directory / "docker") as registry:
        before = contents(directory / "docker")
        write(stage_at(registry.host))
        assert online()["ok"]
        left = contents(directory / "docker") - before
        # Version 2 notes the hash of what it has received, nothing, once more after it has
        # forgotten the upload; its own cleaning of uploads takes that away.
        assert not [path for path in left if "hashstates" not in path.parts]
        with urllib3.PoolManager() as pool:
            listed = pool.request("GET", f"http://{registry.host}/v2/_catalog")
        assert listed.json() == {"repositories": []}


def contents(folder: Path) -> set[Path]:
    """All files in a folder."""
    return {path for path in folder.rglob("*") if path.is_file()}


class WithoutCancel(Distribution):
    """A registry that lets no upload be cancelled."""

    def cancel_upload(self, *_: object, **__: object) -> Response:
        """Refuse."""
        return Response(status=405)


def test_an_upload_that_cannot_be_cancelled_is_a_warning(directory: Path, online: Online) -> None:
    """The right to write is shown all the same, and what is left is named."""
    with EmbeddedRegistry(directory, distribution=WithoutCancel(directory)) as registry:
        write(stage_at(registry.host))
        found = only(online(), f"{registry.host}/shop/prod", "write")
    assert found["state"] == "warning"
    assert found["message"] == (
        f"this identity may; an empty upload is left in {registry.host}/shop/prod/promotion-check"
    )
    assert found["remedy"] == "nothing: registries forget uploads that do not go on"


@pytest.mark.parametrize("status", [401, 403])
def test_a_registry_that_refuses_is_an_error(status: int, online: Online) -> None:
    """For reading and writing each, with the registry's words, and how to be let in."""
    words = b'{"errors": [{"code": "DENIED", "message": "not you"}]}'
    with ScriptedServer(Answer(status, words)) as registry:
        write(stage_at(registry.host))
        report = online()
        for what in ("read", "write"):
            found = only(report, f"{registry.host}/shop/prod", what)
            assert found["state"] == "error"
            assert f"answered {status} DENIED: not you" in found["message"]
            assert found["remedy"] == (
                f"docker login {registry.host}, as an account that may read and write there"
            )


def test_who_may_only_read_is_told(online: Online) -> None:
    """Reading is fine, writing is not; what is no registry at all cannot be written either."""
    for status in (403, 404):
        with ScriptedServer(Answer(200, b'{"tags": null}'), Answer(status)) as registry:
            write(stage_at(registry.host))
            report = online()
            stage = f"{registry.host}/shop/prod"
            assert only(report, stage, "read")["state"] == "ok"
            found = only(report, stage, "write")
            assert found["state"] == "error"
            assert f"Could not open an upload in {stage}/promotion-check" in found["message"]


def test_an_upload_without_a_location_is_an_error(online: Online) -> None:
    """Nothing could be sent to it."""
    with ScriptedServer(Answer(200, b'{"tags": []}'), Answer(202)) as registry:
        write(stage_at(registry.host))
        found = only(online(), f"{registry.host}/shop/prod", "write")
    assert found["state"] == "error"
    assert "the answer names no location" in found["message"]


def signing(trusted: PrivateKey | None) -> str:
    """The section that signs with key.pem and trusts a key; the same, if none is given."""
    path = Path("key.pem")
    key = PrivateKey.generate()
    path.write_bytes(key.to_pem())
    Path("trusted.pem").write_text((trusted or key).public.pem, encoding="utf-8")
    return "signing: {key: key.pem, trusted: [trusted.pem]}\n"


def test_a_key_that_signs_and_is_trusted_is_right(near: EmbeddedRegistry, online: Online) -> None:
    """Its signature verifies; the key is named by its id."""
    write(stage_at(near.host) + signing(None))
    found = only(online(), "signing", "sign and verify")
    key = PrivateKey.parse(Path("key.pem").read_bytes(), "key.pem")
    assert found["state"] == "ok"
    assert found["message"] == f"key {key.public.key_id[:12]}… signs and is trusted"
    assert found["remedy"] == ""


def test_a_key_that_is_not_trusted_is_an_error(
    near: EmbeddedRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it signs would be ignored; the remedy is its public key, ready to be copied."""
    write(stage_at(near.host) + signing(PrivateKey.generate()))
    assert check("--online") == 1
    printed = capsys.readouterr().out
    assert "the key signs, but signing.trusted does not hold it" in printed
    key = PrivateKey.parse(Path("key.pem").read_bytes(), "key.pem")
    indented = "".join(f"\n    {line}" for line in key.public.pem.splitlines())
    assert f"add to signing.trusted:{indented}\n" in printed


def test_a_key_that_is_not_there_is_an_error(near: EmbeddedRegistry, online: Online) -> None:
    """The message says which, and why."""
    write(stage_at(near.host) + "signing: {key: absent.pem}\n")
    found = only(online(), "signing", "sign and verify")
    assert found["state"] == "error"
    assert "absent.pem" in found["message"]


def test_an_installation_that_does_not_sign_is_warned(
    near: EmbeddedRegistry, online: Online
) -> None:
    """It is no error: the function runs without."""
    write(stage_at(near.host))
    report = online()
    assert report["ok"]
    assert only(report, "signing", "sign and verify") == {
        "subject": "signing",
        "what": "sign and verify",
        "state": "warning",
        "message": "nothing is signed: who can write to a repository can write evidence",
        "remedy": "promotion keygen, or a key of Cloud KMS: name it as signing.kms",
    }
