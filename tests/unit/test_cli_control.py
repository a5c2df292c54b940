"""The commands that send a person's decision: what they ask, as whom, and their exit codes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives import serialization
from werkzeug.serving import make_server

from promotion import cli, decision, identity, log
from promotion.commands import control, identity_token
from promotion.errors import AccessDenied
from promotion.evidence.act import Kind
from promotion.registry.connections import Connections
from promotion.registry.fetch import Fetch
from promotion.registry.reference import Digest
from tests.unit.controlling import Function, Start, only_act
from tests.unit.google_tokens import AUDIENCE, PERSON, certificates, key, stripped, token
from tests.unit.scripted import Answer, ScriptedServer

WHY = ["--reason", "looked at it"]
ME = ["--author", "me@acme.example"]


@dataclass
class Served:
    """The function on a port of this machine."""

    function: Function
    url: str

    def run(self, *arguments: str, **environment: str) -> int:
        """Run a command for it; the exit code."""
        return run(*arguments, PROMOTION_CONTROL_URL=self.url, **environment)


def run(*arguments: str, **environment: str) -> int:
    """Run a command; its exit code."""
    try:
        return cli.main(arguments, environment)
    except SystemExit as ended:
        return int(ended.code or 0)


Serve = Callable[..., Served]


@pytest.fixture
def serve(start_control: Start) -> Iterator[Serve]:
    """Serves the function over HTTP, in the environment given."""
    ends: list[Callable[[], None]] = []

    def serve(**environment: str) -> Served:
        function = start_control(**environment)
        server = make_server("127.0.0.1", 0, _behind_cloud_run(function.http.application))
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        ends.extend((server.shutdown, thread.join, server.server_close))
        return Served(function, f"http://127.0.0.1:{server.server_port}")

    yield serve
    for end in ends:
        end()


def _behind_cloud_run(application: Any) -> Any:
    """The application with what Cloud Run does to the token that it checks."""

    def strip(environ: dict[str, Any], start_response: Any) -> Any:
        checked = "HTTP_X_SERVERLESS_AUTHORIZATION"
        if checked in environ:
            environ[checked] = stripped(environ[checked])
        elif "HTTP_AUTHORIZATION" in environ:
            environ["HTTP_AUTHORIZATION"] = stripped(environ["HTTP_AUTHORIZATION"])
        return application(environ, start_response)

    return strip


@pytest.mark.parametrize(
    ("command", "kind", "said"),
    [
        (["approve", *WHY, "--expires-at", "2999-01-01T00:00:00Z"], Kind.APPROVE, {}),
        (
            ["override", *WHY, "--gate", "suites", "--gate", "soak", "--expires-in", "4h"],
            Kind.OVERRIDE,
            {"gates": ("suites", "soak")},
        ),
        (["hold", *WHY, "--expires-in", "2d"], Kind.HOLD, {}),
        (["release", *WHY], Kind.RELEASE, {}),
        (["revoke", *WHY], Kind.REVOKE, {"stage": ""}),
        (["advance"], Kind.PROMOTE, {"reason": "", "to_stage": ""}),
        (
            ["advance", *WHY, "--to-stage", "extended-test"],
            Kind.PROMOTE,
            {"to_stage": "extended-test"},
        ),
    ],
)
def test_each_command_has_its_decision_stated(
    serve: Serve,
    command: list[str],
    kind: Kind,
    said: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With what its options say; a line tells what was done."""
    served = serve()
    image, digest = served.function.push()
    assert served.run(*command, image, *ME) == 0
    act = served.function.stated(image, digest).said
    expected = {"reason": "looked at it", "stage": "fast-feedback", **said}
    assert act.kind is kind
    assert act.author == "me@acme.example"
    assert {name: getattr(act, name) for name in expected} == expected
    assert (act.expires_at is not None) == any("--expires" in each for each in command)
    line = capsys.readouterr().out
    assert line.startswith(f"{kind}: {image}@{digest} by me@acme.example")
    assert line.count("\n") == 1


def test_a_stage_and_a_pipeline_are_held(serve: Serve) -> None:
    """With --pipeline and --stage, instead of images."""
    served = serve()
    assert served.run("hold", "--pipeline", "shop", "--stage", "prod", *WHY, *ME) == 0
    assert only_act(served.function.stated_of_stage("prod")).said.stage == "prod"
    assert served.run("release", "--pipeline", "shop", *WHY, *ME) == 0
    assert only_act(served.function.stated_of_stage("fast-feedback")).said.kind is Kind.RELEASE


def test_json_is_one_object(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json, standard output has what the function answered about each image."""
    served = serve()
    image, digest = served.function.push()
    assert served.run("approve", image, f"{image}@{digest}", *WHY, *ME, "--json") == 0
    first, second = json.loads(capsys.readouterr().out)["decisions"]
    assert (first["subject"], first["digest"]) == (image, digest)
    assert first["statement"] != second["statement"]


def test_what_is_refused_does_not_keep_the_rest_from_being_done(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """1, and a line for each refusal, which names the image."""
    served = serve()
    image, digest = served.function.push()
    moved = f"{image}@{Digest('sha256:' + 'a' * 64)}"
    assert served.run("approve", moved, image, *WHY, *ME) == 1
    assert served.function.stated(image, digest).said.kind is Kind.APPROVE
    printed = capsys.readouterr()
    refusals = [line for line in printed.err.splitlines() if line.startswith("promotion: ")]
    assert len(refusals) == 1
    assert f"{image}: {served.url} answered 409: {image} names {digest} now" in refusals[0]


def test_the_token_goes_through_cloud_run_whole(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sent in both headers, it proves who decides; one for another service does not."""
    with ScriptedServer(certificates()) as google:
        url = f"http://{google.host}/certs"
        monkeypatch.setattr(
            identity, "GoogleToken", partial(identity.GoogleToken, certificates=url)
        )
        served = serve(PROMOTION_DEV="", PROMOTION_CONTROL_AUDIENCE=AUDIENCE)
        image, digest = served.function.push()
        assert served.run("approve", image, *WHY, PROMOTION_CONTROL_TOKEN=token()) == 0
        assert served.function.stated(image, digest).said.author == PERSON
        other = token(aud="https://evil.example")
        assert served.run("approve", image, *WHY, PROMOTION_CONTROL_TOKEN=other) == 1
    error = capsys.readouterr().err
    assert "answered 401: The identity token does not count: Token has wrong audience" in error
    assert "docs/control.md tells which identity tokens count" in error
    assert other not in error


@pytest.mark.parametrize("way", ["a file", "standard input", "the environment", "an argument"])
def test_a_token_is_given(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nobody else sees it; as an argument, where others do, it is taken and warned of."""
    (tmp_path / "token").write_text("given-token\n")
    monkeypatch.setattr("sys.stdin", StringIO("given-token\n"))
    options = {
        "a file": ["--token-file", str(tmp_path / "token")],
        "standard input": ["--token-file", "-"],
        "an argument": ["--token", "given-token"],
    }.get(way, [])
    environment = {"PROMOTION_CONTROL_TOKEN": "given-token" if not options else "another-token"}
    with ScriptedServer(Answer(503, b"")) as server:
        url = f"http://{server.host}"
        assert run("approve", "h.example/a:1", *WHY, "--url", url, *options, **environment) == 1
        (asked,) = server.asked
    assert asked.headers["Authorization"] == "Bearer given-token"
    error = capsys.readouterr().err
    assert ("--token shows the token to all" in error) == (way == "an argument")
    assert "given-token" not in error


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"secret\nsecret\n", "has characters that no token has"),
        ("secrét".encode(), "has characters that no token has"),
        (b"secret\xff", "has characters that no token has"),
        (b"\n", "is empty: no identity token is in it"),
        (b"secret" * 4000, "is larger than any identity token"),
    ],
)
def test_what_is_no_token_is_not_sent(
    content: bytes, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """1, one line that says what to do, and nothing of it is repeated."""
    file = tmp_path / "token"
    file.write_bytes(content)
    with ScriptedServer(Answer(503, b"")) as server:
        url = f"http://{server.host}"
        told = ["--url", url, "--token-file", str(file)]
        assert run("approve", "h.example/a:1", *WHY, *told) == 1
        assert server.asked == []
    error = capsys.readouterr().err
    assert f"{file} {complaint}" in error
    assert error.count("\n") == 1
    assert "secr" not in error.replace(str(file), "")


def test_a_variable_that_holds_no_token_is_not_repeated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nor in a traceback, where Python's client for HTTP would show it."""
    url = "http://127.0.0.1:9"
    environment = {"PROMOTION_CONTROL_TOKEN": "secret\nsecret"}
    assert run("approve", "h.example/a:1", *WHY, "--url", url, **environment) == 1
    error = capsys.readouterr().err
    assert error.startswith("promotion: PROMOTION_CONTROL_TOKEN has characters that no token has")
    assert "secret" not in error


def test_a_token_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """1, in a line."""
    told = ["--url", "http://127.0.0.1:9", "--token-file", "missing"]
    assert run("approve", "h.example/a:1", *WHY, *told) == 1
    assert capsys.readouterr().err == "promotion: missing: No such file or directory\n"


def test_who_says_not_who_decides_is_told_how(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """To a function in development by an option; it has no rights to be given."""
    served = serve()
    image, _ = served.function.push()
    assert served.run("approve", image, *WHY) == 1
    error = capsys.readouterr().err
    assert "in development that is --author" in error
    assert "roles/run.invoker" not in error


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            Answer(403, b"<html>\n<title>403\x1b[2J Forbidden"),
            "403: <html> <title>403[2J Forbidden;",
        ),
        (Answer(503, b'{"error": "busy"}'), "503: busy\n"),
        (Answer(500, b""), "500: \n"),
        (Answer(302, b""), "302: \n"),
        (Answer(200, b"<html>"), "unintelligible answer; check --url\n"),
        (Answer(200, b"1"), "unintelligible answer; check --url\n"),
    ],
)
def test_whatever_answers_it_is_one_line(
    answer: Answer, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """1; a missing right has its name."""
    with ScriptedServer(answer) as server:
        assert run("approve", "h.example/a:1", *WHY, *ME, "--url", f"http://{server.host}") == 1
    printed = capsys.readouterr()
    assert line in printed.err
    assert printed.err.count("\n") == 1
    assert ("roles/run.invoker" in printed.err) == (answer.status == 403)


def test_a_function_out_of_reach(
    free_host: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """1, and one line."""
    assert run("approve", "h.example/a:1", *WHY, *ME, "--url", f"http://{free_host()}") == 1
    error = capsys.readouterr().err
    assert "gave no answer" in error
    assert "check --url" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["approve", "h.example/a:1"],
        ["approve", *WHY],
        ["override", "h.example/a:1", *WHY],
        ["override", "h.example/a:1", *WHY, "--gate", "soaking"],
        ["hold", *WHY],
        ["hold", "h.example/a:1", "--pipeline", "shop", *WHY],
        ["revoke", "h.example/a:1", *WHY, "--expires-in", "4h"],
    ],
)
def test_what_is_not_said_right_is_a_matter_of_usage(arguments: list[str]) -> None:
    """2, before anything is asked."""
    assert run(*arguments) == 2


def test_every_gate_that_can_be_overridden_may_be_named() -> None:
    """The parser knows them without loading what reads decisions."""
    assert get_args(decision.GateName) == control.GATES


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "PROMOTION_CONTROL_URL"),
        ("http://promotion.example", "no https:// URL"),
        ("http://127.0.0.1@promotion.example", "no https:// URL"),
        ("promotion.example", "no https:// URL"),
    ],
)
def test_a_token_goes_nowhere_in_the_clear(
    url: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """1, and the token is not repeated."""
    environment = {"PROMOTION_CONTROL_TOKEN": "secret"}
    assert run("approve", "h.example/a:1", *WHY, "--url", url, **environment) == 1
    error = capsys.readouterr().err
    assert complaint in error
    assert "secret" not in error


@pytest.fixture
def fetch() -> Iterator[Fetch]:
    """Asks over connections that are closed afterwards."""
    with closing(Connections()) as connections:
        yield connections.fetch


@pytest.fixture
def gcloud(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Makes a gcloud of some lines of shell; the environment in which it is found."""

    def make(script: str) -> dict[str, str]:
        file = tmp_path / "gcloud"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    return make


def test_a_person_is_who_has_logged_in_with_gcloud(
    gcloud: Callable[[str], dict[str, str]], fetch: Fetch
) -> None:
    """Its token is taken as it is printed."""
    environment = gcloud('[ "$*" = "auth print-identity-token" ] && echo person-token')
    assert identity_token.own(AUDIENCE, environment, fetch) == "person-token"


@pytest.mark.parametrize(
    "script", ["echo 'ERROR: no\n account' >&2; exit 1", "echo 'ERROR: no account' >&2"]
)
def test_who_has_not_logged_in_is_told_how(
    gcloud: Callable[[str], dict[str, str]], fetch: Fetch, script: str
) -> None:
    """The line repeats what gcloud says."""
    with pytest.raises(AccessDenied, match=r"gave no token: ERROR: no account; run `gcloud auth"):
        identity_token.own(AUDIENCE, gcloud(script), fetch)


def test_a_service_account_is_asked_for_a_token_for_the_function(
    gcloud: Callable[[str], dict[str, str]],
    fetch: Fetch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The file that GOOGLE_APPLICATION_CREDENTIALS names goes before gcloud's login."""
    caplog.set_level(logging.DEBUG, log.REQUESTS)
    private = key("a service account").private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made = token()
    with ScriptedServer(Answer(200, json.dumps({"id_token": made}).encode())) as google:
        file = tmp_path / "account.json"
        account = {
            "type": "service_account",
            "client_email": "ci@acme.example",
            "private_key": private.decode(),
            "token_uri": f"http://{google.host}/token",
        }
        file.write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        environment = {**gcloud("echo person"), "GOOGLE_APPLICATION_CREDENTIALS": str(file)}
        assert identity_token.own(AUDIENCE, environment, fetch) == made
        assert [(each.method, each.path) for each in google.asked] == [("POST", "/token")]
        assert f"POST http://{google.host}/token 200 " in caplog.text
    assert made not in caplog.text


def test_credentials_that_are_none_are_an_error_in_one_line(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what else can be done."""
    missing = str(tmp_path / "missing.json")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", missing)
    with pytest.raises(
        AccessDenied, match=r"^No identity token could be had: .* or PROMOTION_CONTROL_TOKEN$"
    ):
        identity_token.own(AUDIENCE, {"GOOGLE_APPLICATION_CREDENTIALS": missing}, fetch)
