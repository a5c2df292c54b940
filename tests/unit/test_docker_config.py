"""Docker's configuration: what `docker login` and the credential helpers are good for."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from promotion.errors import AccessDenied
from promotion.registry import credential_helper
from promotion.registry.credentials import Credential, IdentityToken, Login, Token
from promotion.registry.docker_config import DockerConfig, default_path

HOST = "registry.example:5000"
LOGIN = Login("ann", "secret:word")

Configured = Callable[[object], DockerConfig]
Helper = Callable[[str, str], Path]


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    """Writes a configuration."""

    def write(content: object) -> DockerConfig:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return DockerConfig(path)

    return write


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Helper:
    """Installs a helper: a shell script, whose arguments and input are found beside it."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def install(name: str, script: str) -> Path:
        path = tmp_path / f"docker-credential-{name}"
        record = 'echo "$# $1 $(cat)" >> "$0.asked"'
        path.write_text(f"#!/bin/sh\n{record}\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    return install


def encoded(text: str) -> str:
    """A login as `docker login` writes it."""
    return base64.b64encode(text.encode()).decode()


def asked(helper: Path) -> list[str]:
    """What the helper was asked, a line for each time."""
    return Path(f"{helper}.asked").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("entry", "credential"),
    [
        ({"auth": encoded("ann:secret:word")}, LOGIN),
        ({"auth": encoded("ann:secret:word\0\0")}, LOGIN),
        ({"username": "ann", "password": "secret:word", "email": "ann@example"}, LOGIN),
        ({"auth": encoded("0:"), "identitytoken": "refresh"}, IdentityToken("refresh")),
        ({"registrytoken": "token"}, Token("token")),
        ({}, None),
    ],
)
def test_every_form_of_an_entry_is_read(
    configured: Configured, entry: object, credential: Credential | None
) -> None:
    """A login, encoded or not, a refresh token, a token; an empty entry is none."""
    assert configured({"auths": {HOST: entry}}).find(HOST) == credential


@pytest.mark.parametrize(
    ("key", "host"),
    [
        (HOST, HOST),
        (f"https://{HOST}", HOST),
        (f"http://{HOST}/v2/", HOST),
        ("https://index.docker.io/v1/", "docker.io"),
        ("https://index.docker.io/v1/", "registry-1.docker.io"),
        ("docker.io", "registry-1.docker.io"),
    ],
)
def test_every_form_of_a_key_is_found(configured: Configured, key: str, host: str) -> None:
    """A host stands for itself or in a URL, and Docker Hub has several names."""
    config = configured({"auths": {"other.example": {}, key: {"auth": encoded("ann:secret:word")}}})
    assert config.find(host) == LOGIN


@pytest.mark.parametrize(
    ("old", "key", "host"),
    [
        (f"https://{HOST}/v1/", HOST, HOST),
        (f"{HOST}/another-team", HOST, HOST),
        ("docker.io", "https://index.docker.io/v1/", "docker.io"),
    ],
)
def test_what_docker_login_writes_today_counts(
    configured: Configured, old: str, key: str, host: str
) -> None:
    """An entry that an early version has left, or of one path alone, does not come before it."""
    auths = {old: {"auth": encoded("old:x")}, key: {"auth": encoded("ann:secret:word")}}
    assert configured({"auths": auths}).find(host) == LOGIN


@pytest.mark.parametrize("host", ["registry.example", "registry.example:5001", "xregistry.example"])
def test_no_other_host_gets_it(configured: Configured, host: str) -> None:
    """A credential is for the host, and the port, that it was given for."""
    assert configured({"auths": {HOST: {"auth": encoded("ann:secret:word")}}}).find(host) is None


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    """Who has never logged in comes anonymously."""
    assert DockerConfig(tmp_path / "absent" / "config.json").find(HOST) is None


@pytest.mark.parametrize("content", ["secret", '{"auths": "secret"}', '{"auths": {"a": "secret"}}'])
def test_a_damaged_file_is_an_error(tmp_path: Path, content: str) -> None:
    """The error names the file, and repeats nothing of it."""
    path = tmp_path / "config.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(AccessDenied, match=r"config\.json") as caught:
        DockerConfig(path).find(HOST)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "entry",
    [
        *({"auth": auth} for auth in ("secret", encoded("secret"), "/w==", "===")),
        *({"registrytoken": token} for token in ("secret\n", "sec\u20acret", "secret secret")),
    ],
)
def test_a_damaged_entry_is_an_error(configured: Configured, entry: object) -> None:
    """The error names the host, and how to write the entry anew."""
    with pytest.raises(AccessDenied, match=f"docker login {HOST}") as caught:
        configured({"auths": {HOST: entry}}).find(HOST)
    assert "secret" not in str(caught.value)


def test_the_file_is_read_again_when_it_was_not_accepted(configured: Configured) -> None:
    """A new login counts from the next refusal on."""
    config = configured({})
    assert config.find(HOST) is None
    configured({"auths": {HOST: {"auth": encoded("ann:secret:word")}}})
    assert config.find(HOST) is None
    config.renew(HOST)
    assert config.find(HOST) == LOGIN


def test_a_helper_is_asked_once(configured: Configured, helper: Helper) -> None:
    """The host goes to its input, never to its arguments, and the answer is kept."""
    answer = json.dumps({"ServerURL": HOST, "Username": "ann", "Secret": "secret:word"})
    program = helper("keychain", f"echo '{answer}'")
    config = configured({"credHelpers": {HOST: "keychain"}, "auths": {HOST: {}}})
    assert config.find(HOST) == config.find(HOST) == LOGIN
    assert config.find("other.example") is None
    assert asked(program) == [f"1 get {HOST}"]
    config.renew(HOST)
    assert config.find(HOST) == LOGIN
    assert len(asked(program)) == 2


def test_the_store_is_asked_for_every_host_without_a_helper(
    configured: Configured, helper: Helper
) -> None:
    """A host's own helper comes before the store, the store before what stands in the file."""
    own = helper("own", """echo '{"Username": "own", "Secret": "x"}'""")
    store = helper("store", """echo '{"Username": "<token>", "Secret": "refresh"}'""")
    auths = {name: {"auth": encoded("ann:x")} for name in (HOST, "other.example")}
    config = configured({"credHelpers": {HOST: "own"}, "credsStore": "store", "auths": auths})
    assert config.find(HOST) == Login("own", "x")
    assert config.find("other.example") == IdentityToken("refresh")
    assert config.find("docker.io") == IdentityToken("refresh")
    assert asked(own) == [f"1 get {HOST}"]
    assert asked(store) == ["1 get other.example", "1 get https://index.docker.io/v1/"]


def test_what_the_store_does_not_have_may_stand_in_the_file(
    configured: Configured, helper: Helper
) -> None:
    """The message by which helpers say that they have nothing is not an error."""
    helper("store", "echo credentials not found in native keychain; exit 1")
    auths = {HOST: {"auth": encoded("ann:secret:word")}}
    config = configured({"credsStore": "store", "auths": auths})
    assert config.find(HOST) == LOGIN
    assert config.find("other.example") is None


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("echo hidden; exit 1", "with status 1; to see why, run"),
        ("echo hidden >&2; exit 2", "with status 2; to see why, run"),
        ("echo secret", "without a name and a secret"),
        ("""echo '{"Username": 1, "Secret": "hidden"}'""", "without a name and a secret"),
        ("""echo '{"Secret": "hidden"}'""", "without a name and a secret"),
        ("kill -9 $$", "with status -9"),
    ],
)
def test_a_helper_that_fails_is_an_error(
    configured: Configured, helper: Helper, script: str, fault: str
) -> None:
    """The error names the program, not what it wrote: that may hold what it knows."""
    helper("store", script)
    with pytest.raises(AccessDenied, match=f"docker-credential-store .*{HOST} {fault}") as caught:
        configured({"credsStore": "store"}).find(HOST)
    assert "hidden" not in str(caught.value)


def test_a_helper_that_hangs_is_an_error(
    configured: Configured, helper: Helper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended, and named."""
    monkeypatch.setattr(credential_helper, "_SECONDS", 0.1)
    helper("store", "exec sleep 60")
    with pytest.raises(AccessDenied, match=r"docker-credential-store did not answer"):
        configured({"credsStore": "store"}).find(HOST)


def test_a_helper_that_does_not_start_is_an_error(configured: Configured, helper: Helper) -> None:
    """A program that is none is named."""
    helper("store", "").write_bytes(b"\x7fELF nothing")
    with pytest.raises(AccessDenied, match="docker-credential-store could not be started"):
        configured({"credsStore": "store"}).find(HOST)


@pytest.mark.parametrize("name", ["absent", "../../bin/evil", "a b", "$(id)"])
def test_a_helper_that_is_not_installed_is_an_error(configured: Configured, name: str) -> None:
    """Only a program on the PATH is started, by its whole name."""
    with pytest.raises(AccessDenied, match="not on the PATH"):
        configured({"credsStore": name}).find(HOST)


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"HOME": "/home/ann"}, "/home/ann/.docker/config.json"),
        ({"HOME": "/home/ann", "DOCKER_CONFIG": ""}, "/home/ann/.docker/config.json"),
        ({"HOME": "/home/ann", "DOCKER_CONFIG": "/etc/docker"}, "/etc/docker/config.json"),
    ],
)
def test_the_file_is_where_docker_has_it(environment: dict[str, str], path: str) -> None:
    """At home, unless DOCKER_CONFIG names another folder."""
    assert default_path(environment) == Path(path)
