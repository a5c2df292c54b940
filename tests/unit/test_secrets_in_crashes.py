"""Secrets never come out of a crash either: of a traceback, an abort, or an object's own words."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import urllib3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dev.services import Service, function_server
from dev.serving import Serving
from dev.stack import ROOT, signed, three_stages
from promotion.registry.transport import Request, Response
from tests.marked import Marked, command_lines
from tests.unit.crashing import sabotage

CRASHES = (
    "promotion.registry.transport._send",
    "promotion.registry.token_endpoint._issued",
    "promotion.registry.connections._answer",
    "promotion.registry.request_log.logged",
    "promotion.registry.refusal.refusal",
)


class Guarded(Serving):
    """A registry behind a token endpoint, which leads to a storage service, and has nothing.

    Attributes:
        host: Its address.
        asked: Set when something was asked with a token.
        held: While this is not set, that is not answered.
    """

    def __init__(self, secrets: Marked) -> None:
        self.asked, self.held = threading.Event(), threading.Event()
        self.held.set()
        self._token, self._signature = secrets.new("issued token"), secrets.new("signature")
        guarded = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                status, headers, body = guarded.answered(self.path, self.headers["Authorization"])
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if body and self.command != "HEAD":
                    self.wfile.write(body.encode())

            do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"

    def answered(self, path: str, shown: str | None) -> tuple[int, Mapping[str, str], str]:
        """The status, the headers and the body."""
        if path.startswith("/token"):
            issued = {"token": self._token, "access_token": self._token}
            return 200, {}, json.dumps(issued)
        if path.startswith("/storage"):
            return 404, {}, ""
        if shown != f"Bearer {self._token}":
            realm = f"http://{self.host}/token"
            return 401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="guarded"'}, ""
        self.asked.set()
        self.held.wait()
        return 307, {"Location": f"http://{self.host}/storage?signature={self._signature}"}, ""


def test_the_location_of_an_upload_is_not_represented() -> None:
    """It may be signed; it stands in the answer that names it, and in the request that follows."""
    location = "https://store.example/up?signature=marked"
    answer = Response(202, {"Location": location})
    request = Request("PUT", "registry.example", location, "write a blob")
    assert "marked" not in f"{answer!r} {request!r}"


@pytest.fixture
def secrets() -> Marked:
    """Those of a test."""
    return Marked()


@pytest.fixture
def guarded(secrets: Marked) -> Iterator[Guarded]:
    """The registry, which answers at the latest when the test ends."""
    with Guarded(secrets) as guarded:
        yield guarded
        guarded.held.set()


def command(guarded: Guarded, verbose: bool = True) -> list[str]:
    """A copy from the registry to itself."""
    images = [f"{guarded.host}/shop:1.0", f"{guarded.host}/prod:1.0"]
    return [sys.executable, "-m", "promotion", *["-v"] * verbose, "copy", *images]


def _token(folder: Path, secrets: Marked, _: str) -> dict[str, str]:
    return {"SOURCE_ACCESS_TOKEN": secrets.new("SOURCE_ACCESS_TOKEN"), "HOME": str(folder)}


def _docker(entry: object, folder: Path, host: str) -> dict[str, str]:
    (folder / "config.json").write_text(json.dumps({"auths": {host: entry}}), encoding="utf-8")
    return {"DOCKER_CONFIG": str(folder), "HOME": str(folder)}


def _login(folder: Path, secrets: Marked, host: str) -> dict[str, str]:
    return _docker({"username": "ann", "password": secrets.new("password")}, folder, host)


def _identity_token(folder: Path, secrets: Marked, host: str) -> dict[str, str]:
    return _docker({"identitytoken": secrets.new("identity token")}, folder, host)


def _helper(folder: Path, secrets: Marked, host: str) -> dict[str, str]:
    answer = json.dumps({"Username": "ann", "Secret": secrets.new("helper's secret")})
    program = folder / "docker-credential-marked"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
    program.chmod(0o755)
    environment = _docker({}, folder, host)
    (folder / "config.json").write_text('{"credsStore": "marked"}', encoding="utf-8")
    return {**environment, "PATH": f"{folder}:{os.environ['PATH']}"}


def account_file(folder: Path, secrets: Marked, guarded: Guarded) -> Path:
    """A service account's key file, whose tokens come from the registry's own endpoint."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": secrets.new("key id"),
        "private_key": secrets.mark_key("private key", key.decode()),
        "client_email": "ann@p.iam.gserviceaccount.com",
        "token_uri": f"http://{guarded.host}/token",
    }
    file = folder / "account.json"
    file.write_text(json.dumps(account), encoding="utf-8")
    return file


Give = Callable[[Path, Marked, str], dict[str, str]]


@pytest.mark.parametrize("give", [_token, _login, _identity_token, _helper])
def test_no_object_represents_itself_with_a_secret(
    tmp_path: Path, secrets: Marked, guarded: Guarded, give: Give
) -> None:
    """Whatever error whoever might put one into: nothing at hand says more than it may."""
    environment = {**sabotage(tmp_path / "python"), **give(tmp_path, secrets, guarded.host)}
    ended = subprocess.run(
        command(guarded), env={**os.environ, **environment}, cwd=tmp_path, capture_output=True
    )
    assert ended.returncode == 1
    assert guarded.asked.is_set()
    assert b"SHOWN Token" in ended.stderr or b"SHOWN Issued" in ended.stderr
    secrets.check({"standard output": ended.stdout, "standard error": ended.stderr})


@pytest.mark.parametrize("at", CRASHES)
def test_a_command_that_crashes_shows_no_secret(
    tmp_path: Path, secrets: Marked, guarded: Guarded, at: str
) -> None:
    """Its traceback is Python's own, with --verbose, and names no more than the places."""
    environment = {**sabotage(tmp_path / "python", at), **_login(tmp_path, secrets, guarded.host)}
    ended = subprocess.run(
        command(guarded), env={**os.environ, **environment}, cwd=tmp_path, capture_output=True
    )
    assert ended.returncode == 1
    assert b"ZeroDivisionError" in ended.stderr
    secrets.check({"standard output": ended.stdout, "standard error": ended.stderr})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGABRT])
def test_a_command_that_is_ended_by_a_signal_shows_no_secret(
    tmp_path: Path, secrets: Marked, guarded: Guarded, number: signal.Signals
) -> None:
    """By Ctrl-C, and by an abort that Python's fault handler reports."""
    guarded.held.clear()
    environment = {**os.environ, **_login(tmp_path, secrets, guarded.host)}
    with subprocess.Popen(
        command(guarded, verbose=number is signal.SIGINT),
        env={**environment, "PYTHONFAULTHANDLER": "1", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        guarded.asked.wait()
        seen = command_lines(process.pid)
        process.send_signal(number)
        out, error = process.communicate()
    assert (b"interrupted" if number is signal.SIGINT else b"Fatal Python error") in error
    secrets.check({"standard output": out, "standard error": error, **seen})


def pushed(function: Service, guarded: Guarded) -> int:
    """Push a result to the function; the status, or 0 if it hung up."""
    result = {
        "image": f"{guarded.host}/shop/fast-feedback/shop:1.0",
        "digest": f"sha256:{'a' * 64}",
        "suite": "functional",
        "outcome": "success",
    }
    message = {
        "data": base64.b64encode(json.dumps(result).encode()).decode(),
        "messageId": "7",
        "publishTime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    push = {"message": message, "subscription": "projects/p/subscriptions/s"}
    with urllib3.PoolManager(retries=False) as pool:
        try:
            return pool.request("POST", f"{function.url}/", json=push).status
        except urllib3.exceptions.ProtocolError:
            return 0


def function_environment(
    folder: Path, secrets: Marked, guarded: Guarded, at: str
) -> dict[str, str]:
    """A function with a signing key and a service account, which crashes at some place."""
    configuration = folder / "promotion.yaml"
    configuration.write_text(three_stages(guarded.host) + signed(folder), encoding="utf-8")
    secrets.mark_key("signing key", (folder / "signing.pem").read_text(encoding="ascii"))
    return {
        **sabotage(folder / "python", at),
        "PROMOTION_CONFIG": str(configuration),
        "GOOGLE_APPLICATION_CREDENTIALS": str(account_file(folder, secrets, guarded)),
        "LOG_LEVEL": "DEBUG",
    }


@pytest.mark.parametrize("at", ["", CRASHES[0], CRASHES[2]])
def test_a_function_that_crashes_shows_no_secret(
    tmp_path: Path, secrets: Marked, guarded: Guarded, at: str
) -> None:
    """On its production server, at level DEBUG: the traceback is logged, and Pub/Sub told 500."""
    environment = function_environment(tmp_path, secrets, guarded, at)
    with function_server(ROOT, environment, tmp_path) as function:
        status = pushed(function, guarded)
        arguments = command_lines(function.pid)
    output = function.output()
    assert status == (500 if at else 503)
    assert ("ZeroDivisionError" in output) is bool(at)
    assert "SHOWN " in output
    secrets.check({"the log": output, **arguments})


def test_a_worker_that_is_aborted_shows_no_secret(
    tmp_path: Path, secrets: Marked, guarded: Guarded
) -> None:
    """What the server says of a worker that took too long, with where it was by then."""
    guarded.held.clear()
    environment = function_environment(tmp_path, secrets, guarded, "")
    limits = {"THREADS": "1", "CLOUD_RUN_TIMEOUT_SECONDS": "1", "PYTHONFAULTHANDLER": "1"}
    with function_server(ROOT, {**environment, **limits}, tmp_path) as function:
        pushed(function, guarded)
        guarded.held.set()
    assert guarded.asked.is_set()
    output = function.output()
    assert "WORKER TIMEOUT" in output
    secrets.check({"the log": output})
