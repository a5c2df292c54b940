"""Deadlines: nothing that is waited for goes on beyond, on the wire or elsewhere."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack

import pytest

from promotion.deadline import NEVER, Cancellation, Deadline, current, keeping
from promotion.errors import DeadlineExceeded, NotFound, RegistryUnavailable, Retryable
from promotion.registry.client import RepositoryClient
from promotion.registry.connections import Connections
from promotion.registry.limits import HostLimit
from promotion.registry.manifest import Blob
from promotion.registry.reference import Repository, digest_of
from promotion.registry.retry import wait
from promotion.registry.transport import Transport
from tests.unit.scripted import Answer, ScriptedServer
from tests.unit.slow import SlowServer, deaf, dripping

BLOB = Blob(digest_of(b"large"), 1 << 20)
ANSWERS = {
    "before its first line": b"HTTP/1.1 2",
    "in its headers": b"HTTP/1.1 200 OK\r\nContent-Type: ",
    "in its body": b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n",
    "in a body without a length": b"HTTP/1.1 200 OK\r\n\r\n",
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n",
}
SOON = 0.2


def hurried(server: SlowServer, transport: Transport) -> RepositoryClient:
    """A repository on that server, and little time for it."""
    return RepositoryClient(Repository(server.host, "shop"), transport, Deadline.after(SOON))


@pytest.mark.parametrize("place", ANSWERS)
def test_a_blob_that_drips_ends_at_the_deadline(place: str, transport: Transport) -> None:
    """A source that keeps on sending, a byte at a time, does not keep anybody."""
    with SlowServer(dripping(ANSWERS[place])) as server:
        repository = hurried(server, transport)
        with pytest.raises(DeadlineExceeded), repository.blob(BLOB) as pieces:
            for _ in pieces:
                pass


@pytest.mark.parametrize("place", ANSWERS)
def test_a_manifest_that_drips_ends_at_the_deadline(place: str, transport: Transport) -> None:
    """The same holds for every request, whatever it is for."""
    with SlowServer(dripping(ANSWERS[place])) as server, pytest.raises(DeadlineExceeded):
        hurried(server, transport).tags()


@pytest.mark.parametrize("status", [200, 307, 401, 404, 500])
def test_what_nobody_reads_ends_at_the_deadline(status: int, transport: Transport) -> None:
    """An explanation or a rest that drips is left where it is."""
    beginning = f"HTTP/1.1 {status} Such\r\nLocation: /\r\nContent-Length: 10000\r\n\r\n".encode()
    with SlowServer(dripping(beginning)) as server, pytest.raises(Retryable):
        with hurried(server, transport).blob(BLOB):
            raise NotFound("the blob is not read")


@pytest.mark.parametrize("place", ANSWERS)
def test_a_token_endpoint_that_drips_ends_at_the_deadline(place: str) -> None:
    """It is asked on behalf of a request, and has no more time than that."""
    connections = Connections()
    with SlowServer(dripping(ANSWERS[place])) as server, keeping(Deadline.after(SOON)):
        with pytest.raises(DeadlineExceeded, match=server.host):
            connections.fetch("GET", f"http://{server.host}/token", {})
    connections.close()


@pytest.mark.parametrize("place", ANSWERS)
def test_a_client_without_a_deadline_has_that_of_what_is_being_done(
    place: str, transport: Transport
) -> None:
    """As where a command looks for some seconds at most, with clients that know nothing of it."""
    with SlowServer(dripping(ANSWERS[place])) as server, keeping(Deadline.after(SOON)):
        repository = RepositoryClient(Repository(server.host, "shop"), transport)
        with pytest.raises(DeadlineExceeded):
            repository.tags()
        with pytest.raises(DeadlineExceeded), repository.blob(BLOB) as pieces:
            for _ in pieces:
                pass


def test_a_pause_is_not_begun_by_a_client_without_a_deadline(transport: Transport) -> None:
    """A registry that asks for an hour is given up by whoever has ten seconds."""
    busy = Answer(503, b"", {"Retry-After": "3600"})
    with ScriptedServer(busy) as server, keeping(Deadline.after(10)):
        repository = RepositoryClient(Repository(server.host, "shop"), transport)
        with pytest.raises(RegistryUnavailable, match="answered 503"):
            repository.tags()


def test_a_destination_that_takes_nothing_ends_at_the_deadline(transport: Transport) -> None:
    """What cannot be sent is not waited for, either."""
    with SlowServer(deaf) as server:
        repository = hurried(server, transport)
        pieces = (bytes(1 << 20) for _ in range(1024))
        with pytest.raises(DeadlineExceeded):
            repository.upload("/upload", BLOB, pieces)


def test_addresses_that_take_no_connection_end_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch, transport: Transport
) -> None:
    """However many a name has, all of them together have no more time than one."""
    with ExitStack() as held:
        full = held.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        found = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found * 400)
        deadline = Deadline.after(SOON)
        repository = Repository(f"localhost:{port}", "shop")
        with pytest.raises(DeadlineExceeded):
            RepositoryClient(repository, transport, deadline).manifest("1.0")
        assert deadline.left > -100 * SOON


def test_a_request_under_way_is_cancelled(transport: Transport) -> None:
    """However long it could still take, it ends when nobody wants it any more."""
    cancellation = Cancellation()

    def serve(connection: socket.socket, closing: threading.Event) -> None:
        connection.recv(65536)
        cancellation.call()
        closing.wait()

    with SlowServer(serve) as server:
        deadline = NEVER.unless(cancellation)
        repository = RepositoryClient(Repository(server.host, "shop"), transport, deadline)
        with pytest.raises(DeadlineExceeded):
            repository.tags()


def test_a_pause_between_tries_is_cancelled() -> None:
    """An hour that a registry asked for is not waited out in vain."""
    cancellation = Cancellation()

    def pause() -> None:
        with keeping(NEVER.unless(cancellation)):
            wait(3600)

    pausing = threading.Thread(target=pause)
    pausing.start()
    cancellation.call()
    pausing.join()


def test_a_turn_that_does_not_come_is_cancelled() -> None:
    """Neither are the turns of others."""
    cancellation = Cancellation()
    limit = HostLimit("registry", 1)
    ended: list[BaseException] = []

    def follow() -> None:
        try:
            with limit.slot(NEVER.unless(cancellation)):
                pass
        except DeadlineExceeded as error:
            ended.append(error)

    with limit.slot(NEVER):
        thread = threading.Thread(target=follow)
        thread.start()
        cancellation.call()
        thread.join()
    assert ended


def test_work_inside_has_no_more_time_than_the_whole() -> None:
    """A part that would have a minute has what is left of the time, and is cancelled with it."""
    cancellation = Cancellation()
    whole = Deadline.after(10).unless(cancellation)
    assert whole.within(60).at == whole.at
    assert whole.within(1).at < whole.at
    cancellation.call()
    assert whole.left == whole.within(60).left == 0


def test_the_deadline_reaches_what_no_argument_does() -> None:
    """It holds for what is called inside, and no longer than that."""
    inner, outer = Deadline.after(1), Deadline.after(2)
    with keeping(outer):
        with keeping(inner):
            assert current() is inner
        assert current() is outer
    assert current() is NEVER
