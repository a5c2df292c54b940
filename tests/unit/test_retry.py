"""When requests are tried again, how long is waited first, and when it is given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from dev.anonymous import anonymous_transport
from dev.registry import EmbeddedRegistry
from promotion.deadline import NEVER, Deadline
from promotion.errors import (
    DeadlineExceeded,
    PromotionError,
    RegistryRefused,
    RegistryUnavailable,
)
from promotion.registry import limits, retry
from promotion.registry.blobs import Sending, bring
from promotion.registry.client import RepositoryClient
from promotion.registry.limits import HostLimit
from promotion.registry.manifest import OCI_MANIFEST, Blob, Manifest
from promotion.registry.pace import Pace
from promotion.registry.reference import Repository, digest_of
from promotion.registry.report import Unwatched, Way
from promotion.registry.retry import Patience, retry_after
from promotion.registry.transport import Transport
from tests.unit.clock import Clock
from tests.unit.scripted import Answer, ScriptedServer

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
BLOB = Blob(digest_of(b"bytes"), 5)
IMAGE = Manifest(OCI_MANIFEST, digest_of(b"{}"), b"{}")
FOUND = Answer(200, b"{}", {"Content-Type": OCI_MANIFEST})


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; none of them takes any time."""
    waits: list[float] = []
    monkeypatch.setattr(retry, "wait", waits.append)
    return waits


@pytest.fixture
def transport() -> Iterator[Transport]:
    """A transport with its usual patience."""
    transport = anonymous_transport()
    yield transport
    transport.close()


def client(
    server: ScriptedServer, transport: Transport, deadline: Deadline = NEVER
) -> RepositoryClient:
    """A client for a repository on the scripted server."""
    return RepositoryClient(Repository(server.host, "shop/prod/shop"), transport, deadline)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(
    status: int, waits: list[float], transport: Transport
) -> None:
    """Each of these statuses is followed by another try, after a pause that grows."""
    with ScriptedServer(Answer(status), Answer(status), FOUND) as server:
        assert client(server, transport).manifest("1.0").content == b"{}"
    first, second = waits
    assert 0.25 <= first <= 0.5 <= second <= 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413])
def test_what_will_not_pass_is_not_tried_again(
    status: int, waits: list[float], transport: Transport
) -> None:
    """These say the same however often they are asked."""
    with ScriptedServer(Answer(status)) as server:
        with pytest.raises(PromotionError):
            client(server, transport).manifest("1.0")
        assert len(server.asked) == 1
    assert waits == []


def test_patience_ends(waits: list[float], transport: Transport) -> None:
    """After five tries the last refusal is raised."""
    with ScriptedServer(Answer(500)) as server:
        with pytest.raises(RegistryUnavailable, match="answered 500"):
            client(server, transport).manifest("1.0")
        assert len(server.asked) == 5
    assert len(waits) == 4


@pytest.mark.parametrize("verb", ["manifest", "put", "mount", "tag"])
def test_every_request_that_can_be_repeated_is(
    verb: str, waits: list[float], transport: Transport
) -> None:
    """Reading, mounting and writing manifests are safe to repeat."""
    answers = {
        "manifest": FOUND,
        "put": Answer(201),
        "mount": Answer(201),
        "tag": Answer(200, b"", {"Docker-Content-Digest": IMAGE.digest}),
    }
    with ScriptedServer(Answer(503), answers[verb]) as server:
        repository = client(server, transport)
        match verb:
            case "manifest":
                repository.manifest("1.0")
            case "put":
                repository.put_manifest(IMAGE)
            case "mount":
                assert repository.mount(BLOB, repository.repository) is None
            case _:
                repository.resolve("1.0")
        assert [asked.path for asked in server.asked] == [server.asked[0].path] * 2
    assert len(waits) == 1


def test_retry_after_is_honoured_in_full(waits: list[float], transport: Transport) -> None:
    """The pause is the one that the registry asked for, however long."""
    limited = Answer(503, b"", {"Retry-After": "0"})
    with ScriptedServer(limited, FOUND) as server:
        client(server, transport).manifest("1.0")
    assert waits == [0]
    assert Patience().pause(1, 3600) == 3600


def test_a_pause_beyond_the_deadline_is_not_begun(waits: list[float], transport: Transport) -> None:
    """Asked to wait for longer than there is time, it gives up at once, to be tried again later."""
    limited = Answer(429, b"", {"Retry-After": "60"})
    with ScriptedServer(limited) as server:
        with pytest.raises(RegistryUnavailable, match="answered 429"):
            client(server, transport, Deadline.after(30)).manifest("1.0")
        with pytest.raises(DeadlineExceeded, match="asks to be left alone for"):
            client(server, transport, Deadline.after(30)).manifest("other")
        assert len(server.asked) == 1
    assert waits == []


def test_an_upload_is_not_repeated_by_itself(waits: list[float], transport: Transport) -> None:
    """Its bytes are gone once they were sent: whoever has them begins anew."""
    with ScriptedServer(Answer(503)) as server:
        with pytest.raises(RegistryUnavailable):
            client(server, transport).upload("/v2/upload", BLOB, [b"bytes"])
        assert len(server.asked) == 1
    assert waits == []


@pytest.mark.parametrize(
    "failure",
    [
        Answer(429),
        Answer(503),
        Answer(404),
        Answer(400, b'{"errors": [{"code": "DIGEST_INVALID"}]}'),
    ],
    ids=["busy", "broken", "no such upload", "damaged on its way"],
)
def test_a_small_blob_is_sent_again(
    failure: Answer, waits: list[float], transport: Transport
) -> None:
    """Through another upload: some of its bytes may have come through the one that failed."""
    first, second = (Answer(202, b"", {"Location": f"/upload/{each}"}) for each in (1, 2))
    with ScriptedServer(first, failure, second, Answer(201)) as server:
        client(server, transport).put_blob(b"bytes")
        paths = [asked.path.partition("?")[0] for asked in server.asked]
    assert paths[1::2] == ["/upload/1", "/upload/2"]
    assert len(waits) == 1


def test_a_small_blob_is_given_up(waits: list[float], transport: Transport) -> None:
    """After as many tries as anything gets; what is refused for good gets one."""
    opened = Answer(202, b"", {"Location": "/upload"})
    with ScriptedServer(*[opened, Answer(503)] * 6) as server:
        with pytest.raises(RegistryUnavailable, match="answered 503"):
            client(server, transport).put_blob(b"bytes")
        assert len(server.asked) == 10
    assert len(waits) == 4
    with ScriptedServer(opened, Answer(400)) as server:
        with pytest.raises(RegistryRefused):
            client(server, transport).put_blob(b"bytes")
        assert len(server.asked) == 2


def test_a_blob_is_asked_for_as_often_as_anything(
    waits: list[float], transport: Transport, near: EmbeddedRegistry
) -> None:
    """Whoever reads it on its way has no patience of their own beside the request's."""
    destination = RepositoryClient(Repository(near.host, "shop/prod/shop"), transport)
    with ScriptedServer(Answer(503)) as server:
        sending = bring(BLOB, client(server, transport), destination, Pace(NEVER), Unwatched())
        assert isinstance(sending, Sending)
        with pytest.raises(RegistryUnavailable, match="answered 503"):
            sending()
        assert [asked.method for asked in server.asked] == ["GET"] * 5
    assert len(waits) == 4


def test_content_that_is_in_the_manifest_is_sent_again(
    waits: list[float], transport: Transport
) -> None:
    """Its bytes are at hand, and go through another upload if one fails."""
    opened = Answer(202, b"", {"Location": "/upload"})
    inline = Blob(digest_of(b"bytes"), 5, content=b"bytes")
    with ScriptedServer(opened, Answer(503), opened, Answer(201)) as server:
        repository = client(server, transport)
        sending = bring(inline, repository.until(NEVER), repository, Pace(NEVER), Unwatched())
        assert isinstance(sending, Sending)
        report = sending()
        assert [asked.method for asked in server.asked] == ["POST", "PUT"] * 2
    assert (report.way, report.retries, len(waits)) == (Way.COPIED, 1, 1)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5),
        (" 0 ", 0),
        ("Sat, 31 Jan 2026 12:01:00 GMT", 60),
        ("Saturday, 31-Jan-26 12:01:00 GMT", 60),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0),
        ("Sat, 31 Jan 2026 14:01:00 +0200", 60),
        ("99999999999999999999", 24 * 60 * 60),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("Sat, 99 Jan 2026", None),
    ],
)
def test_retry_after_has_two_forms(header: str, seconds: float | None) -> None:
    """Seconds, or a date in any of HTTP's forms; anything else is as if it were not there."""
    assert retry_after({"Retry-After": header}, NOW) == seconds


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_date_in_retry_after_is_by_the_clock_of_whoever_answers(hours: int) -> None:
    """One that differs from this machine's is no reason not to wait, nor to wait for hours."""
    headers = {
        "Date": "Sat, 31 Jan 2026 12:00:30 GMT",
        "Retry-After": "Sat, 31 Jan 2026 12:01:00 GMT",
    }
    assert retry_after(headers, NOW + timedelta(hours=hours)) == 30
    assert retry_after({**headers, "Date": "no date"}, NOW) == 60


def test_pauses_grow_to_a_limit_and_differ() -> None:
    """Half a second doubles to half a minute at most, with jitter."""
    patience = Patience(tries=20)
    pauses = [[patience.pause(tried, None) or 0 for _ in range(20)] for tried in range(1, 15)]
    assert max(pauses[0]) <= 0.5
    assert 15 <= min(pauses[-1]) <= max(pauses[-1]) <= 30
    assert len(set(pauses[5])) > 1
    assert patience.pause(20, None) is None


def test_a_host_that_refuses_gets_less_at_once() -> None:
    """The limit halves with each round of refusals, and grows back with answers."""
    limit = HostLimit("registry", 16)
    for expected in (8, 4, 2, 1, 1):
        limit.throttled(time.monotonic(), 0)
        assert limit.allowed == expected
    for _ in range(200):
        limit.answered()
    assert limit.allowed == 16


@pytest.mark.usefixtures("waits")
def test_what_is_not_there_is_an_answer_too(transport: Transport) -> None:
    """Most of what is looked up is not there: a host that says so bears what it is asked."""
    with ScriptedServer(*[Answer(429)] * 4, Answer(404)) as server:
        repository = client(server, transport)
        assert repository.find("sha256-0.sig") is None
        least = transport.limit(server.host).allowed
        for _ in range(least):
            repository.find("sha256-0.sig")
        assert transport.limit(server.host).allowed == least + 1


def test_a_host_that_refuses_gets_fewer_streams() -> None:
    """Their number shrinks and grows with that of the requests, and one may always be."""
    limit = HostLimit("registry", 48, 16)
    assert limit.streams == 16
    for expected in (8, 4, 2, 1, 1, 1):
        limit.throttled(time.monotonic(), 0)
        assert limit.streams == expected
    for _ in range(2000):
        limit.answered()
    assert limit.streams == 16


def test_refusals_of_one_round_count_once() -> None:
    """Sixteen requests under way together and refused together are one reason to go slower."""
    limit = HostLimit("registry", 16)
    began = time.monotonic()
    for _ in range(16):
        limit.throttled(began, 0)
    assert limit.allowed == 8


def test_a_turn_is_waited_for() -> None:
    """Who comes when all turns are taken goes on when one is given back."""
    limit = HostLimit("registry", 1)
    entered, leave, second = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        with limit.slot(NEVER):
            entered.set()
            leave.wait(60)

    def follow() -> None:
        with limit.slot(NEVER):
            second.set()

    threads = [threading.Thread(target=hold), threading.Thread(target=follow)]
    threads[0].start()
    assert entered.wait(60)
    with pytest.raises(DeadlineExceeded), limit.slot(Deadline.after(0)):
        pass
    threads[1].start()
    assert not second.is_set()
    leave.set()
    assert second.wait(60)
    for thread in threads:
        thread.join()


def test_after_a_refusal_requests_begin_one_by_one() -> None:
    """However many wait: together they take as long as the rate asks for."""
    limit = HostLimit("registry", 16)
    began = time.monotonic()
    limit.throttled(began, 0)
    threads = [threading.Thread(target=limit.await_start, args=(NEVER,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 5 / 17


def test_requests_that_wait_to_begin_heed_a_pause() -> None:
    """Whoever was to begin in a moment finds out that there is no time for it any more."""
    limit = HostLimit("registry", 16)
    limit.throttled(time.monotonic(), 30)
    ended: list[DeadlineExceeded] = []

    def begin() -> None:
        try:
            limit.await_start(Deadline.after(60))
        except DeadlineExceeded as error:
            ended.append(error)

    waiting = threading.Thread(target=begin)
    waiting.start()
    limit.throttled(time.monotonic(), 3600)
    waiting.join()
    assert ["left alone for 3600 s" in str(each) for each in ended] == [True]


def test_a_request_that_cannot_begin_in_time_takes_no_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends at once, saying why, and the next one begins no later for it."""
    clock = Clock()
    monkeypatch.setattr(limits, "time", clock)
    limit = HostLimit("registry", 16)
    limit.throttled(clock.now, 0)
    limit.await_start(NEVER)
    for _ in range(100):
        with pytest.raises(DeadlineExceeded, match="has refused requests"):
            limit.await_start(Deadline.after(0.05))
    clock.now += 1 / 16
    limit.await_start(Deadline.after(10))


def test_a_pause_holds_for_all_who_share_the_host() -> None:
    """While a host wants to be left alone, nobody of the process gets a turn."""
    limit = HostLimit("registry", 16)
    limit.throttled(time.monotonic(), 3600)
    with pytest.raises(DeadlineExceeded, match="left alone"), limit.slot(Deadline.after(60)):
        pass
    with pytest.raises(DeadlineExceeded):
        limit.await_start(Deadline.after(60))
