"""The log of requests: a line for each, and never what would let anybody in."""

from __future__ import annotations

import json
import logging
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from dev import images
from dev.registry import EmbeddedRegistry
from promotion import cli, log
from promotion.errors import RegistryUnavailable
from promotion.registry import request_log
from promotion.registry.auth import RegistryAuthenticator
from promotion.registry.client import RepositoryClient
from promotion.registry.connections import Connections
from promotion.registry.credentials import Login, Token
from promotion.registry.manifest import Blob
from promotion.registry.reference import Repository, digest_of
from promotion.registry.transport import Transport
from tests.unit.scripted import Answer, ScriptedServer

CONTENT = b"a blob"
BLOB = Blob(digest_of(CONTENT), len(CONTENT))
# Each stands for something that lets whoever reads it in.
PASSWORD, TOKEN, PROXY, PATH, SIGNATURE, STATE = SECRETS = (
    "pass-word-1",
    "bearer-token-2",
    "proxy-pass-3",
    "download-path-4",
    "signature-5",
    "upload-state-6",
)


@pytest.fixture(autouse=True)
def _unlogged_again() -> Iterator[None]:
    """What a command turns on holds for its process: here that of other tests, too."""
    yield
    logging.getLogger(log.REQUESTS).setLevel(logging.NOTSET)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connections]:
    """Connections whose requests are logged, in an environment that names no proxy."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    connections = Connections()
    yield connections
    connections.close()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged of requests, without times, once it is sure that no secret is among it."""
    caplog.set_level(logging.DEBUG, log.REQUESTS)

    def lines() -> list[str]:
        for secret in SECRETS:
            assert secret not in caplog.text
            assert b64encode(f"ann:{secret}".encode()).decode() not in caplog.text
        messages = [each.getMessage() for each in caplog.records if each.name == log.REQUESTS]
        assert all(re.search(r" \d+ ms$", message) for message in messages)
        return [message.rpartition(" ")[0].rpartition(" ")[0] for message in messages]

    return lines


Logged = Callable[[], list[str]]


def place(
    server: ScriptedServer, connections: Connections, credential: Login | Token
) -> RepositoryClient:
    """A repository on the server, for somebody who has something to show."""

    class Wallet:
        def find(self, _: str) -> Login | Token:
            return credential

        def renew(self, _: str) -> None:
            pass

    authenticator = RegistryAuthenticator(Wallet(), connections.fetch)
    return RepositoryClient(Repository(server.host, "a/b"), Transport(authenticator, connections))


def test_token_requests_and_redirects_are_logged_without_what_they_carry(
    connections: Connections, logged: Logged
) -> None:
    """A challenge, the token, the request again, and a download at a signed URL: a line each."""
    with ScriptedServer(Answer(200, CONTENT)) as storage, ScriptedServer(Answer(200)) as registry:
        realm = f'Bearer realm="http://{registry.host}/token",service="reg"'
        signed = f"http://{storage.host}/{PATH}?X-Amz-Signature={SIGNATURE}&{STATE}"
        registry.answers = [
            Answer(401, headers={"WWW-Authenticate": realm}),
            Answer(200, json.dumps({"token": TOKEN}).encode()),
            Answer(307, headers={"Location": signed}),
        ]
        client = place(registry, connections, Login("ann", PASSWORD))
        assert client.read_blob(BLOB, 100) == CONTENT
        blob = f"GET http://{registry.host}/v2/a/b/blobs/{BLOB.digest}"
        challenged, token, redirected, download = logged()
    assert challenged == f"{blob} 401"
    assert token.startswith(f"GET http://{registry.host}/token?service=reg&scope=")
    assert token.endswith(" 200")
    assert redirected == f"{blob} 307"
    assert download == f"GET http://{storage.host}/…?X-Amz-Signature=…&… 200"


def test_the_state_of_an_upload_is_not_logged(connections: Connections, logged: Logged) -> None:
    """What is harmless in a query is there, and the rest is named only."""
    with ScriptedServer(Answer(200)) as registry:
        location = f"/v2/a/b/blobs/uploads/7?_state={STATE}"
        registry.answers = [
            Answer(202, headers={"Location": location}),
            Answer(201, headers={"Docker-Content-Digest": BLOB.digest}),
        ]
        client = place(registry, connections, Token(TOKEN))
        mounted = client.mount(BLOB, Repository(registry.host, "c"))
        client.upload(mounted or "", BLOB, [CONTENT])
        uploads = f"http://{registry.host}/v2/a/b/blobs/uploads/"
        assert [unquote(line) for line in logged()] == [
            f"POST {uploads}?mount={BLOB.digest}&from=c 202",
            f"PUT {uploads}7?_state=…&digest={BLOB.digest} 201",
        ]


def test_a_proxys_password_is_not_logged(
    connections: Connections, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line names whom the request is for, whatever it goes through."""
    with ScriptedServer(Answer(200)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://ann:{PROXY}@{proxy.host}")
        connections.fetch("GET", "http://token.example/token?refresh_token=" + TOKEN, {})
    assert logged() == ["GET http://token.example/token?refresh_token=… 200"]


def test_a_request_without_an_answer_is_logged(
    connections: Connections, logged: Logged, free_host: Callable[[], str]
) -> None:
    """So that one sees what it waited for."""
    host = free_host()
    with pytest.raises(RegistryUnavailable):
        connections.fetch("GET", f"http://ann:{PASSWORD}@{host}/", {})
    assert logged() == [f"GET http://{host}/ no answer"]


def test_nothing_is_made_of_a_url_while_requests_are_not_logged() -> None:
    """It costs nothing then: the URL is not even looked at."""

    def shown(_: str) -> str:
        raise AssertionError

    def send() -> None:
        return None

    assert request_log.logged("GET", "http://a/", shown, send) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [f"https://h/artifacts-downloads/{PATH}", f"https://ann:{PASSWORD}@h/x/{PATH}?a={SIGNATURE}"],
)
def test_a_path_that_is_no_registrys_is_not_shown(url: str) -> None:
    """Some storage services take the path alone for a credential."""
    assert request_log.registry_url(url).startswith("https://h/…")
    assert not any(secret in request_log.registry_url(url) for secret in SECRETS)


@pytest.mark.parametrize(
    "arguments",
    [["-v", "copy"], ["copy", "-v"], ["copy", "--verbose"], ["copy"]],
    ids=lambda arguments: " ".join(arguments),
)
def test_verbose_can_be_said_before_or_after_the_command(
    near: EmbeddedRegistry,
    transport: Transport,
    tmp_path: Path,
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A line for each request that the registry has served; none without it; output as ever."""
    source = RepositoryClient(Repository(near.host, "a/shop"), transport)
    images.push_image(source, [b"layer"], tag="1.0")
    before = len(near.served)
    names = [f"{source.repository}:1.0", f"{near.host}/b/shop:1.0", "--json"]
    home = {"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path)}
    assert cli.main([*arguments, *names], home) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["source"] == names[0]
    lines = printed.err.splitlines()
    served = near.served[before:]
    assert len(lines) == (len(served) if arguments[1:] else 0)
    for line in lines:
        assert re.search(r" (GET|HEAD|POST|PUT) http://[^ ]+ \d{3} \d+ ms$", line), line
