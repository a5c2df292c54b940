"""A registry that leads astray: by a redirect, by an upload's location, by what a name resolves to.

The registry is called registry.example and answers by itself; what it leads to is really connected.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import urllib3

from dev.stack import three_stages
from promotion.deadline import NEVER, Deadline
from promotion.errors import RegistryRefused, RegistryUnavailable, RegistryUntrusted
from promotion.registry.addresses import is_internal, is_internal_elsewhere
from promotion.registry.client import RepositoryClient
from promotion.registry.connections import Body, Connections
from promotion.registry.manifest import OCI_MANIFEST, Blob, Manifest
from promotion.registry.reference import Repository, digest_of
from promotion.registry.transport import Transport
from tests.unit.scripted import Answer, ScriptedServer
from tests.unit.slow import SlowServer
from tests.unit.test_client import Steadfast

HOST = "registry.example"
BLOB = Blob(digest_of(b"bytes"), 5)
MANIFEST = Manifest(OCI_MANIFEST, digest_of(b"{}"), b"{}")


class Leading(Connections):
    """The registry answers with one redirect after another; ``shown`` are its credentials."""

    def __init__(self, *locations: str) -> None:
        super().__init__()
        self._locations = list(locations)
        self.shown: list[tuple[str, str]] = []

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body = None,  # noqa: ARG002
        deadline: Deadline = NEVER,  # noqa: ARG002
    ) -> urllib3.BaseHTTPResponse:
        """Answer in place of the registry."""
        self.shown.append((url, headers.get("Authorization", "")))
        location = {"Location": self._locations.pop(0)} if self._locations else {}
        return urllib3.HTTPResponse(
            BytesIO(),
            location,
            307 if location else 201,
            preload_content=False,
            request_method=method,
        )


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Which name has which address: nothing else can be looked up."""
    known: dict[str, str] = {}
    real = socket.getaddrinfo

    def look_up(host: str, *more: Any, **options: Any) -> Any:
        return real(known.get(host, host), *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return known


@pytest.fixture
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """The port of a service on this machine, and what it has heard."""
    heard: list[bytes] = []

    def listen(connection: socket.socket, _: object) -> None:
        heard.append(connection.recv(65536))

    with SlowServer(listen) as server:
        yield int(server.host.rpartition(":")[2]), heard


def client(connections: Connections, host: str = HOST) -> RepositoryClient:
    """A repository there, with a credential."""
    return RepositoryClient(Repository(host, "shop"), Transport(Steadfast(), connections))


def test_a_redirect_to_a_name_of_this_machine_is_not_followed(
    names: dict[str, str], listener: tuple[int, list[bytes]]
) -> None:
    """What counts is the address at the other end: no byte goes there, whatever the name says."""
    port, heard = listener
    names["store.example"] = "127.0.0.1"
    connections = Leading(f"https://store.example:{port}/x")
    with pytest.raises(RegistryUntrusted, match=r"leads to store\.example.*127\.0\.0\.1"):
        client(connections).read_blob(BLOB, 5)
    connections.close()
    assert heard in ([], [b""])


def test_an_upload_to_a_name_of_this_machine_is_not_begun(
    names: dict[str, str], listener: tuple[int, list[bytes]]
) -> None:
    """The bytes of a blob go there as little as a question would."""
    port, heard = listener
    names["store.example"] = "127.0.0.1"
    connections = Leading()
    with pytest.raises(RegistryUntrusted, match="Nothing was sent there"):
        client(connections).upload(f"https://store.example:{port}/up", BLOB, [b"bytes"])
    connections.close()
    assert heard in ([], [b""])


@pytest.mark.parametrize(
    "location",
    [
        "http://store.example/x",
        "https://169.254.169.254/latest",
        "https://[::ffff:169.254.169.254]/",
        "https://2130706433/",
        "https://metadata.google.internal/computeMetadata/v1/",
        f"https://{HOST}@store.example/",
    ],
)
@pytest.mark.parametrize("by", ["redirect", "upload"])
def test_some_places_are_not_even_looked_up(
    location: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without TLS, inside, or with somebody's name in it: nothing is resolved or connected."""

    def unwanted(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    for name in ("getaddrinfo", "create_connection", "socket"):
        monkeypatch.setattr(socket, name, unwanted)
    repository = client(Leading(*([location] if by == "redirect" else [])))
    ask: Callable[[], object] = partial(repository.manifest, "1.0")
    if by == "upload":
        ask = partial(repository.upload, location, BLOB, [b"bytes"])
    with pytest.raises(RegistryUntrusted, match="leads to"):
        ask()


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("host", ["localhost.", "store", "store.corp.internal", "printer.local"])
@pytest.mark.parametrize("by", ["redirect", "upload"])
def test_a_proxy_is_not_asked_for_names_of_its_surroundings(
    host: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would look them up where it is, and nobody would see what address they have."""
    asked: list[bytes] = []
    with SlowServer(lambda connection, _: asked.append(connection.recv(999))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        location = f"https://{host}/x"
        connections = Leading(*([location] if by == "redirect" else []))
        repository = client(connections)
        ask: Callable[[], object] = partial(repository.manifest, "1.0")
        if by == "upload":
            ask = partial(repository.upload, location, BLOB, [b"bytes"])
        with pytest.raises(RegistryUntrusted, match="internal to where the proxy is"):
            ask()
        assert asked == []
        with pytest.raises(RegistryUnavailable):
            repository.upload("https://store.example/x", BLOB, [b"bytes"])
        connections.close()
    assert asked[0].startswith(b"CONNECT store.example:443")


def test_without_a_proxy_such_names_are_judged_by_their_addresses(
    names: dict[str, str], listener: tuple[int, list[bytes]]
) -> None:
    """A site's own names may lead to its storage: what is looked up here can be judged here."""
    port, heard = listener
    names["store.corp.internal"] = "127.0.0.1"
    connections = Leading(f"https://store.corp.internal:{port}/x")
    with pytest.raises(RegistryUntrusted, match=r"which is at 127\.0\.0\.1"):
        client(connections).read_blob(BLOB, 5)
    connections.close()
    assert heard in ([], [b""])


def test_each_step_of_a_redirect_is_judged_anew() -> None:
    """Where the first leads to the registry itself, the second still may not lead inside."""
    connections = Leading("/moved", "https://127.0.0.1/x")
    with pytest.raises(RegistryUntrusted, match=r"leads to 127\.0\.0\.1"):
        client(connections).manifest("1.0")
    assert [shown for _, shown in connections.shown] == ["Bearer secret", ""]


@pytest.mark.parametrize("ask", ["start_upload", "put_manifest", "upload"])
def test_what_writes_follows_no_redirect(ask: str) -> None:
    """Nobody has asked for what is to be written to be sent to two places, or to another one."""
    connections = Leading("https://store.example/x")
    repository = client(connections)
    asking: dict[str, Callable[[], object]] = {
        "start_upload": partial(repository.start_upload, BLOB),
        "put_manifest": partial(repository.put_manifest, MANIFEST),
        "upload": partial(repository.upload, "/up/1", BLOB, [b"bytes"]),
    }
    with pytest.raises(RegistryRefused, match="307"):
        asking[ask]()
    assert len(connections.shown) == 1


@pytest.mark.parametrize(
    "address",
    [
        "0.1.2.3",
        "192.0.0.192",
        "fd00:ec2::254%eth0",
        "fe80::1%25eth0",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo: at its end, inverted, 127.0.0.1
        "2001:0:4136:e378:8000:63bf:5601:5601",  # the same of 169.254.169.254
        "64:ff9b::7f00:1",
        "2002:a9fe:a9fe::",
    ],
)
def test_an_address_is_internal_however_it_is_wrapped(address: str) -> None:
    """What a name resolves to may be of any of these forms, a zone behind it included."""
    assert is_internal(address)


def test_a_location_after_two_slashes_is_another_host() -> None:
    """It is led there without the credential, and is no path on the registry."""
    with pytest.raises(RegistryUntrusted, match=r"leads to 127\.0\.0\.1"):
        client(Leading()).upload("//127.0.0.1/up/1", BLOB, [b"bytes"])


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/up/1", "Bearer secret"),
        (f"HTTPS://{HOST.upper()}/up/1", "Bearer secret"),
        (f"https://{HOST}:443/up/1", "Bearer secret"),
        (f"https://{HOST}:8443/up/1", ""),
    ],
)
def test_an_upload_is_authorised_at_the_registry_s_own_origin_alone(
    location: str, shown: str
) -> None:
    """Upper case and a port that is meant anyway are the same origin; another port is not."""
    connections = Leading()
    client(connections).upload(location, BLOB, [b"bytes"])
    assert [each for _, each in connections.shown] == [shown]


@pytest.mark.parametrize("location", ["http://[", "https://[::1/?sig=nature", "//["])
def test_a_location_that_is_no_url_is_the_registry_s_fault(location: str) -> None:
    """It is an error of the product's own, upon which the blob is tried again; it may be signed."""
    with pytest.raises((RegistryUnavailable, RegistryUntrusted), match="no URL") as caught:
        client(Leading()).upload(location, BLOB, [b"bytes"])
    assert "nature" not in str(caught.value)


def test_a_connection_outward_is_refused_by_its_address_alone(names: dict[str, str]) -> None:
    """The same service can be spoken to where its address is not forbidden."""
    connections = Connections()
    with ScriptedServer(Answer(200)) as store:
        names["store.example"] = "127.0.0.1"
        url = f"http://store.example:{store.host.rpartition(':')[2]}/"
        with pytest.raises(RegistryUntrusted):
            connections.open_elsewhere("GET", url, {}, None, NEVER, is_internal)
        assert store.asked == []
        answer = connections.open_elsewhere("GET", url, {}, None, NEVER, is_internal_elsewhere)
        assert answer.status == 200
        answer.release_conn()
        with pytest.raises(RegistryUntrusted):
            connections.open_elsewhere("GET", url, {}, None, NEVER, is_internal)
        assert len(store.asked) == 1
    connections.close()


def test_what_judges_leads_is_loaded_when_there_is_one(tmp_path: Path) -> None:
    """Most registries never lead anywhere: a start need not wait for it."""
    (tmp_path / "promotion.yaml").write_text(three_stages(HOST), encoding="utf-8")
    program = (
        "import main, sys;"
        " print([each for each in ('leads', 'addresses', 'pools')"
        " if f'promotion.registry.{each}' in sys.modules])"
    )
    environment = {**os.environ, "PROMOTION_CONFIG": str(tmp_path / "promotion.yaml")}
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, text=True, env=environment).strip() == "[]"
