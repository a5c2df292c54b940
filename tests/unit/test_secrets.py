"""Secrets never come out: not in logs, errors, events, registries, or arguments of processes.

Each way in which a secret is given is tried against registries that accept it, refuse it, repeat
it, break off, and lead elsewhere. All that comes out is searched for it, in each form that it could
have.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dev import images
from dev.anonymous import anonymous_transport
from dev.registry import EmbeddedRegistry
from dev.serving import Serving
from dev.stack import ROOT, three_stages
from promotion import cli
from promotion.keys import PrivateKey
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository
from tests.marked import Marked, command_lines, files_in, programs_started

Environment = dict[str, str]


class Mirror(Serving):
    """A registry that behaves badly in one way, and repeats what it was shown wherever it can.

    Attributes:
        host: Its address.
        shown: The Authorization headers that it was shown.
    """

    def __init__(self, behaviour: str, signed: str) -> None:
        self.shown: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                shown = self.headers.get("Authorization", "")
                mirror.shown += [shown] if shown else []
                if behaviour == "reset" or (behaviour == "reset when shown" and shown):
                    self.close_connection = True
                    self.connection.close()
                    return
                status, headers = mirror.answered(behaviour, shown, signed)
                words = f"{shown} {base64_of(shown)}"
                body = json.dumps({"errors": [{"code": "DENIED", "message": words}]}).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_POST = do_PUT = do_CONNECT = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"

    def answered(self, behaviour: str, shown: str, signed: str) -> tuple[int, Mapping[str, str]]:
        """The status and the headers."""
        basic = {"WWW-Authenticate": 'Basic realm="mirror"'}
        bearer = {
            "WWW-Authenticate": f'Bearer realm="http://{self.host}/token?x={signed}",service="m"'
        }
        if behaviour.isdecimal():
            return (int(behaviour), basic) if shown else (401, basic)
        return {
            "bearer": (401, bearer),
            "no challenge": (401, {"WWW-Authenticate": f"Mirror {shown}"}),
            "redirect to nowhere": (307, {"Location": f"http://127.0.0.1:1/?signature={signed}"}),
            "redirect to no URL": (307, {"Location": f"http://127.0.0.1:x/?signature={signed}"}),
        }.get(behaviour, (401, basic))


def base64_of(authorization: str) -> str:
    """What a Basic header holds, which a registry could repeat as well."""
    scheme, _, value = authorization.partition(" ")
    return base64.b64decode(value).decode() if scheme == "Basic" else ""


BEHAVIOURS = (
    "401",
    "403",
    "404",
    "429",
    "500",
    "reset",
    "reset when shown",
    "bearer",
    "no challenge",
    "redirect to nowhere",
    "redirect to no URL",
)


@dataclass
class Given:
    """Somebody's machine, with secrets on it.

    Attributes:
        used: Whether a secret is one that a registry is shown at all.
    """

    folder: Path
    secrets: Marked = field(default_factory=Marked)
    environment: Environment = field(default_factory=dict)
    used: bool = True

    def write(self, name: str, content: str) -> Path:
        """Write a file."""
        path = self.folder / name
        path.write_text(content, encoding="utf-8")
        return path

    def docker(self, host: str, entry: object) -> None:
        """Write Docker's configuration with an entry for the host."""
        self.write("config.json", json.dumps({"auths": {host: entry}}))

    def helper(self, script: str) -> None:
        """Install a credential helper, and let it know all hosts."""
        self.write("config.json", json.dumps({"credsStore": "marked"}))
        program = self.write("docker-credential-marked", f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        self.environment["PATH"] = f"{self.folder}:{os.environ['PATH']}"


def _access_token(given: Given, _: str) -> None:
    given.environment["SOURCE_ACCESS_TOKEN"] = given.secrets.new("SOURCE_ACCESS_TOKEN")


def _malformed_token(given: Given, _: str) -> None:
    token = given.secrets.new("SOURCE_ACCESS_TOKEN")
    given.environment["SOURCE_ACCESS_TOKEN"] = f"{token}\nX-Header: x"
    given.used = False


def _login(given: Given, host: str) -> None:
    auth = base64.b64encode(f"ann:{given.secrets.new('password')}".encode()).decode()
    given.docker(host, {"auth": given.secrets.mark("auth", auth)})


def _damaged_login(given: Given, host: str) -> None:
    given.docker(host, {"auth": given.secrets.new("auth")})
    given.used = False


def _identity_token(given: Given, host: str) -> None:
    given.docker(host, {"identitytoken": given.secrets.new("identity token")})
    given.used = False


def _damaged_configuration(given: Given, host: str) -> None:
    given.write("config.json", f'{{"auths": {{"{host}": {{"auth": "{given.secrets.new("auth")}"')
    given.used = False


def _mistyped_configuration(given: Given, host: str) -> None:
    given.docker(host, {"username": "ann", "password": [given.secrets.new("password")]})
    given.used = False


def _helper(given: Given, _: str) -> None:
    answer = json.dumps({"Username": "ann", "Secret": given.secrets.new("helper's secret")})
    given.helper(f"echo '{answer}'; echo '{answer}' >&2")


def _failing_helper(given: Given, _: str) -> None:
    answer = json.dumps({"Username": "ann", "Secret": given.secrets.new("helper's secret")})
    given.helper(f"echo '{answer}'; echo '{answer}' >&2; exit 1")
    given.used = False


def _babbling_helper(given: Given, _: str) -> None:
    given.helper(f"echo 'it is {given.secrets.new('secret of the helper')}'")
    given.used = False


def _proxy(given: Given, _: str) -> None:
    password = given.secrets.new("proxy's password").replace("/", "%2F")
    given.environment["HTTPS_PROXY"] = f"http://ann:{password}@127.0.0.1:1"
    given.used = False


def _bad_proxy(given: Given, _: str) -> None:
    password = given.secrets.new("proxy's password").replace("/", "%2F")
    given.environment["HTTPS_PROXY"] = f"http://ann:{password}@127.0.0.1:port"
    given.used = False


GIVEN: dict[str, Callable[[Given, str], None]] = {
    "an access token": _access_token,
    "an access token with a line too many": _malformed_token,
    "docker login": _login,
    "docker login, damaged": _damaged_login,
    "an identity token": _identity_token,
    "Docker's configuration, cut off": _damaged_configuration,
    "Docker's configuration, mistyped": _mistyped_configuration,
    "a credential helper": _helper,
    "a credential helper that fails": _failing_helper,
    "a credential helper that babbles": _babbling_helper,
}
PROXIES = {"a proxy out of reach": _proxy, "a proxy whose URL is wrong": _bad_proxy}


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Given:
    """A machine that knows of no other secret."""
    folder = tmp_path / "machine"
    folder.mkdir()
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    return Given(folder, environment={"HOME": str(folder), "DOCKER_CONFIG": str(folder)})


Run = Callable[..., dict[str, str]]


@pytest.fixture
def run(
    given: Given,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Run:
    """Runs a command in this process, logging all there is; what came out."""

    def run(*arguments: str) -> dict[str, str]:
        for name, value in given.environment.items():
            monkeypatch.setenv(name, value)
        caplog.set_level("DEBUG")
        environment = {"LOG_LEVEL": "DEBUG", **given.environment}
        with programs_started() as started:
            status = cli.main(arguments, environment)
        written = capsys.readouterr()
        return {
            "status": str(status),
            "standard output": written.out,
            "standard error": written.err,
            "the log": caplog.text,
            "the programs started": "\n".join(started),
        }

    return run


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("way", GIVEN)
def test_what_a_copy_is_given_never_comes_out(
    given: Given, run: Run, way: str, behaviour: str
) -> None:
    """Whatever the registry does, which repeats all that it is shown; it fails with a reason."""
    signature = given.secrets.new("signature")
    with Mirror(behaviour, signature) as mirror:
        GIVEN[way](given, mirror.host)
        output = run("copy", f"{mirror.host}/shop:1.0", f"{mirror.host}/prod:1.0")
    assert output["status"] == "1"
    assert "\npromotion: " in "\n" + output["standard error"]
    given.secrets.check(output)
    if given.used and behaviour.isdecimal():
        assert given.secrets.found_in({"it": "\n".join(mirror.shown)})


@pytest.mark.parametrize("way", PROXIES)
def test_a_proxys_password_never_comes_out(given: Given, run: Run, way: str) -> None:
    """Neither when it is out of reach nor when its URL is wrong."""
    PROXIES[way](given, "")
    output = run("copy", "registry.invalid/shop:1.0", "registry.invalid/prod:1.0")
    assert output["status"] == "1"
    given.secrets.check(output)


def _cut_off(text: str) -> str:
    return text[: len(text) * 2 // 3]


def _without_account(text: str) -> str:
    return json.dumps({**json.loads(text), "client_email": None})


def _of_no_type(text: str) -> str:
    return json.dumps({**json.loads(text), "type": "marked"})


@pytest.mark.parametrize(
    "damage",
    [str, _cut_off, _without_account, _of_no_type],
    ids=["whole", "cut off", "a field missing", "of another type"],
)
def test_a_service_accounts_key_never_comes_out(
    given: Given, run: Run, damage: Callable[[str], str]
) -> None:
    """With a token endpoint that is out of reach, and with a file that is damaged."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": given.secrets.new("key id"),
        "private_key": given.secrets.mark_key("private key", key.decode()),
        "client_email": "ann@p.iam.gserviceaccount.com",
        "token_uri": "http://127.0.0.1:1/token",
    }
    file = given.write("account.json", damage(json.dumps(account)))
    given.environment["SOURCE_AUTH_OVERRIDE"] = str(file)
    given.environment["HTTPS_PROXY"] = "http://127.0.0.1:1"
    output = run("copy", "europe-docker.pkg.dev/p/r/shop:1.0", "europe-docker.pkg.dev/p/s/shop:1.0")
    assert output["status"] == "1"
    given.secrets.check(output)


@pytest.mark.parametrize("damage", [str, _cut_off], ids=["in promotion.yaml", "cut off"])
def test_a_signing_key_never_comes_out_of_a_configuration(
    given: Given, run: Run, damage: Callable[[str], str]
) -> None:
    """Written into promotion.yaml itself, or damaged in its file: the error does not repeat it."""
    key = given.secrets.mark_key("signing key", PrivateKey.generate().to_pem().decode())
    signing = json.dumps(key)
    if damage is not str:
        signing = json.dumps(str(given.write("key.pem", damage(key))))
    configuration = given.write(
        "promotion.yaml", f"{three_stages('127.0.0.1:1')}signing: {{key: {signing}}}\n"
    )
    given.environment["PROMOTION_CONFIG"] = str(configuration)
    output = run("check", "--online")
    assert output["status"] == "1"
    given.secrets.check(output)


def test_a_copy_that_succeeds_shows_no_secret(
    given: Given, near: EmbeddedRegistry, tmp_path: Path
) -> None:
    """Run as a process, whose arguments and those of its helper are seen by the helper itself."""
    transport = anonymous_transport()
    source = RepositoryClient(Repository(near.host, "dev/shop"), transport)
    images.push_image(source, [b"layer"], tag="1.0")
    transport.close()
    seen = given.folder / "seen"
    answer = json.dumps({"Username": "ann", "Secret": given.secrets.new("helper's secret")})
    given.helper(f"cat /proc/$PPID/cmdline /proc/$$/cmdline >> {seen}; echo '{answer}'")
    given.environment["DEST_ACCESS_TOKEN"] = given.secrets.new("DEST_ACCESS_TOKEN")
    command = [sys.executable, "-m", "promotion", "copy", "--json"]
    ended = subprocess.run(
        [*command, f"{source.repository}:1.0", f"{near.host}/prod/shop:1.0"],
        env={**os.environ, **given.environment, "LOG_LEVEL": "DEBUG"},
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    given.secrets.check(
        {
            "standard output": ended.stdout,
            "standard error": ended.stderr,
            "the arguments": seen.read_bytes(),
            **files_in(tmp_path / "near"),
        }
    )


def test_a_secret_is_found_in_whatever_form(tmp_path: Path) -> None:
    """The search itself: in Base64 among other things, percent-encoded, and in a file's middle."""
    secrets = Marked()
    secret = secrets.new("secret")
    for before in ("", "a", "ab", "ann:"):
        encoded = base64.b64encode(f"{before}{secret}after".encode())
        assert secrets.found_in({"it": b"x" + encoded}) == ["secret in it"]
    (tmp_path / "file").write_text(f"before {secret} after", encoding="utf-8")
    assert secrets.found_in(files_in(tmp_path)) == ["secret in file"]
    assert secrets.found_in({"it": b"nothing"}) == []
    waiting = [sys.executable, "-c", "input('begun')", secret]
    sleeper = subprocess.Popen(waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert sleeper.stdout
        # Its arguments can be seen once it runs, which may be later than it has been started.
        assert sleeper.stdout.read(5) == b"begun"
        assert secrets.found_in(command_lines(os.getpid())) == [
            f"secret in the arguments of {sleeper.pid}"
        ]
    finally:
        sleeper.communicate(b"\n")
