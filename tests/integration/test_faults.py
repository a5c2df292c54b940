"""Copies between real registries while things go wrong: whole in the end, and never a stray tag."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest

from bench.faults import (
    Answer,
    BreakDownload,
    BreakUpload,
    Corrupt,
    CutShort,
    Drip,
    Fault,
    Hold,
    LoseAnswer,
    LoseRequest,
    Relabel,
    Rule,
    Stall,
    throttled,
)
from bench.proxy import Proxy
from dev import images
from dev.anonymous import anonymous_transport
from dev.services import Service
from promotion.deadline import NEVER, Deadline
from promotion.errors import (
    AccessDenied,
    ContentMismatch,
    DeadlineExceeded,
    Permanent,
    RegistryUnavailable,
    Retryable,
)
from promotion.registry.client import RepositoryClient, between
from promotion.registry.copy import copy
from promotion.registry.manifest import Manifest, successors
from promotion.registry.reference import Repository
from promotion.registry.report import Copied, Way
from promotion.registry.retry import Patience
from promotion.registry.transport import Transport

LARGE = 3 * 1024 * 1024 + 11
QUICK = Patience(tries=5, first_pause=0.01, longest_pause=0.05)
TAG = "1.0"


@dataclass
class Course:
    """An image on the far side of one proxy, and the place it goes to behind another."""

    name: str
    near: Proxy
    far: Proxy
    transport: Transport
    image: Manifest
    digests: set[str] = field(default_factory=set)

    def copy(self, deadline: Deadline = NEVER) -> Copied:
        """Copy the image, through both proxies, and set its tag."""
        source, destination = between(
            Repository(self.near.host, self.name),
            Repository(self.far.host, f"{self.name}-copy"),
            self.transport,
            self.transport,
            deadline,
        )
        copied = copy(source.manifest(self.image.digest), source, destination)
        destination.put_manifest(self.image, TAG)
        return copied

    def copy_inside(self) -> Copied:
        """Copy the image to another repository of its own registry."""
        source, destination = between(
            Repository(self.near.host, self.name),
            Repository(self.near.host, f"{self.name}-copy"),
            self.transport,
            self.transport,
        )
        copied = copy(self.image, source, destination)
        destination.put_manifest(self.image, TAG)
        return copied

    @property
    def arrived(self) -> RepositoryClient:
        """The destination, past the proxy."""
        return RepositoryClient(Repository(self.far.upstream, f"{self.name}-copy"), self.transport)

    def assert_whole(self) -> None:
        """The tag names the image, and every blob has the digest that it is found by."""
        assert self.arrived.manifest(TAG) == self.image
        for blob in successors(self.image).blobs:
            with self.arrived.blob(blob) as pieces:
                content = b"".join(pieces)
            assert f"sha256:{hashlib.sha256(content).hexdigest()}" == blob.digest

    def assert_untagged(self) -> None:
        """No tag is there."""
        assert self.arrived.resolve(TAG) is None


@pytest.fixture
def course(name: str, registry: Service, prod_registry: Service) -> Iterator[Course]:
    """An image of one large and two small blobs that the destination has never seen."""
    transport = anonymous_transport(QUICK)
    generator = random.Random(name)
    source = RepositoryClient(Repository(registry.host, name), transport)
    layers = [generator.randbytes(LARGE), generator.randbytes(1000)]
    image = images.push_image(source, layers, architecture=name)
    with Proxy(registry.host) as near, Proxy(prod_registry.host) as far:
        yield Course(name, near, far, transport, image)
    transport.close()


PLACES = {
    "reading the manifest": ("near", "GET", "/manifests/sha256:"),
    "reading a blob": ("near", "GET", "/blobs/sha256"),
    "looking up referrers": ("near", "GET", "/referrers/"),
    "asking for a blob": ("far", "HEAD", "/blobs/sha256"),
    "opening an upload": ("far", "POST", "/blobs/uploads/"),
    "sending a blob": ("far", "PUT", "/blobs/uploads/"),
    "setting the tag": ("far", "PUT", f"/manifests/{TAG}"),
}
FAULTS: dict[str, Fault] = {
    "408": Answer(408),
    "429": throttled(429),
    "429 with Retry-After": throttled(429, 0),
    "500": Answer(500),
    "502 with a web page": Answer(502, {"Content-Type": "text/html"}, b"<html>"),
    "503": throttled(503),
    "503 until a date": throttled(503, 0, as_date=True),
    "504": Answer(504),
    "no connection left": LoseRequest(),
    "an answer that is lost": LoseAnswer(),
    "a stall": Stall(0.05),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_is_overcome(course: Course, place: str, fault: str) -> None:
    """Twice in a row, wherever it strikes, it only costs time."""
    side, method, path = PLACES[place]
    proxy: Proxy = getattr(course, side)
    proxy.inject(Rule(FAULTS[fault], method=method, path=path, times=2))
    course.copy()
    assert [each.fault for each in proxy.exchanges() if each.fault]
    course.assert_whole()


def test_a_source_that_breaks_off_is_resumed(course: Course) -> None:
    """Reading goes on from the same byte: hardly more than the blob's length is read in all."""
    rule = Rule(BreakDownload(after=1_000_000), path="/blobs/sha256", times=3)
    course.near.inject(rule)
    copied = course.copy()
    course.assert_whole()
    read = sum(each.received for each in course.near.exchanges() if each.kind == "blob")
    assert read < LARGE * 1.5
    assert sum(blob.retries for blob in copied.blobs) >= 1


def test_a_source_that_takes_no_ranges_is_read_from_its_beginning(course: Course) -> None:
    """Of several servers behind one name, the one that is asked to go on may know no ranges."""
    large = max(successors(course.image).blobs, key=lambda blob: blob.size)
    path = f"/blobs/{large.digest}"
    course.near.inject(Rule(CutShort(after=1_000_000), method="GET", path=path))
    course.near.inject(Rule(Answer(416), method="GET", path=path, first=2))
    copied = course.copy()
    course.assert_whole()
    assert [blob.retries for blob in copied.blobs if blob.digest == large.digest] == [1]
    uploads = [each for each in course.far.exchanges() if each.method == "PUT"]
    assert len(uploads) == len(copied.blobs) + 1


def test_a_destination_that_breaks_off_gets_that_blob_anew(course: Course) -> None:
    """Each reset in the middle of an upload costs that blob another upload, and nothing else."""
    course.far.inject(Rule(BreakUpload(after=1_000_000), method="PUT", path="uploads", times=4))
    copied = course.copy()
    course.assert_whole()
    assert sum(blob.retries for blob in copied.blobs) == 4
    uploads = [each for each in course.far.exchanges() if each.method == "PUT"]
    assert len(uploads) == len(copied.blobs) + 4 + 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, {}, json.dumps({"errors": [{"code": "BLOB_UPLOAD_UNKNOWN"}]}).encode()),
        Answer(400, {}, json.dumps({"errors": [{"code": "BLOB_UPLOAD_INVALID"}]}).encode()),
        Answer(400, {}, json.dumps({"errors": [{"code": "DIGEST_INVALID"}]}).encode()),
        Answer(404),
    ],
)
def test_an_upload_that_vanishes_is_opened_anew(course: Course, answer: Answer) -> None:
    """A registry that forgets an upload session, or spoils one, gets the blob once more."""
    course.far.inject(Rule(answer, method="PUT", path="uploads", times=2))
    course.copy()
    course.assert_whole()


def test_a_manifest_refused_for_a_blob_of_a_moment_ago_is_written_again(course: Course) -> None:
    """Registries show a blob half written while another promotion brings it."""
    for code in ("MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"):
        refusal = Answer(400, {}, json.dumps({"errors": [{"code": code}]}).encode())
        course.far.inject(Rule(refusal, method="PUT", path="/manifests/", times=2))
    course.copy()
    course.assert_whole()


@pytest.mark.parametrize("fault", [Corrupt(at=0), Corrupt(at=LARGE - 1)], ids=repr)
def test_a_damaged_blob_is_not_completed(course: Course, fault: Fault) -> None:
    """Other bytes than the digest names end the attempt; the next, with good bytes, is whole."""
    course.near.inject(Rule(fault, path="/blobs/sha256", first=1, times=None))
    with pytest.raises(ContentMismatch):
        course.copy()
    course.assert_untagged()
    course.near.heal()
    course.copy()
    course.assert_whole()


def test_a_shortened_blob_is_never_taken_for_whole(course: Course) -> None:
    """A body of another length than the blob's is refused or, where it broke off, resumed."""
    course.near.inject(Rule(CutShort(1_000_000, honest=True), path="/blobs/sha256", times=None))
    try:
        course.copy()
    except ContentMismatch:
        course.assert_untagged()
    course.near.heal()
    course.copy()
    course.assert_whole()


def test_an_answer_that_ends_early_is_resumed(course: Course) -> None:
    """A body that is shorter than it said is a broken connection like any other."""
    course.near.inject(Rule(CutShort(1_000), path="/blobs/sha256", times=2))
    course.copy()
    course.assert_whole()


@pytest.mark.parametrize("side", ["near", "far"])
def test_a_lying_digest_is_found_out(course: Course, side: str) -> None:
    """A manifest that comes or is stored under another digest than its own ends the attempt."""
    proxy: Proxy = getattr(course, side)
    lie = Relabel({"Docker-Content-Digest": f"sha256:{'a' * 64}"})
    proxy.inject(Rule(lie, method="PUT", path="/manifests/", times=None))
    proxy.inject(Rule(Corrupt(at=3), method="GET", path="/manifests/sha256:", times=None))
    with pytest.raises(ContentMismatch):
        course.copy()
    proxy.heal()
    course.copy()
    course.assert_whole()


def test_a_truncated_manifest_is_found_out(course: Course) -> None:
    """Half a manifest is not taken for a whole one."""
    course.near.inject(Rule(CutShort(100, honest=True), path="/manifests/sha256:", times=None))
    with pytest.raises((ContentMismatch, RegistryUnavailable)):
        course.copy()
    course.assert_untagged()


def test_slow_bodies_arrive(course: Course) -> None:
    """A registry that drips is waited for."""
    course.near.inject(Rule(Drip(size=500_000, seconds=0.01), path="/blobs/sha256", times=None))
    course.far.inject(Rule(Drip(size=500_000, seconds=0.01), method="PUT", times=None))
    course.copy()
    course.assert_whole()


def test_retry_after_is_waited_for_in_full(course: Course) -> None:
    """The host is left alone for as long as it asked, by everything in the process."""
    course.far.inject(Rule(throttled(seconds=2), method="POST", path="uploads"))
    started = time.monotonic()
    course.copy()
    assert time.monotonic() - started >= 2
    refused = next(each for each in course.far.exchanges() if each.status == 429)
    # What was about to be sent as the refusal came is sent.
    soon = [each for each in course.far.exchanges() if 1 < each.began - refused.ended < 1.95]
    assert soon == []
    course.assert_whole()


def test_a_throttled_mount_stays_a_mount(course: Course) -> None:
    """Being asked to wait is no reason to send bytes that are there already."""
    course.near.inject(Rule(throttled(), method="POST", path="mount=", times=4))
    copied = course.copy_inside()
    assert {blob.way for blob in copied.blobs} == {Way.MOUNTED}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_mount_that_is_refused_becomes_an_upload(course: Course, status: int) -> None:
    """Where mounting is not allowed the bytes travel, and the report says why."""
    course.near.inject(Rule(Answer(status), method="POST", path="mount=", times=None))
    copied = course.copy_inside()
    assert {blob.way for blob in copied.blobs} == {Way.COPIED}
    assert all(f"answered {status}" in blob.reason for blob in copied.blobs)


def test_a_destination_that_will_not_take_it_is_final(course: Course) -> None:
    """Too large: trying again cannot help, and there is no tag."""
    course.far.inject(Rule(Answer(413), method="PUT", times=None))
    with pytest.raises(Permanent, match="answered 413"):
        course.copy()
    course.assert_untagged()


def test_a_destination_that_is_read_only_is_worth_another_try_later(course: Course) -> None:
    """Maintenance ends some day; until then there is no tag."""
    course.far.inject(Rule(Answer(405), method="PUT", times=None))
    with pytest.raises(AccessDenied, match="answered 405"):
        course.copy()
    course.assert_untagged()
    course.far.heal()
    course.copy()
    course.assert_whole()


@pytest.mark.parametrize("status", [500, 507])
def test_a_full_disk_is_worth_another_try_later(course: Course, status: int) -> None:
    """When the disk has room again, the next attempt finds what has arrived."""
    course.far.inject(Rule(Answer(status), method="PUT", path="manifests", times=None))
    with pytest.raises(RegistryUnavailable, match=f"answered {status}"):
        course.copy()
    course.assert_untagged()
    course.far.heal()
    copied = course.copy()
    large = next(blob for blob in copied.blobs if blob.size == LARGE)
    assert large.way is Way.PRESENT
    course.assert_whole()


@pytest.mark.parametrize("side", ["near", "far"])
def test_a_registry_that_is_away_is_worth_another_try_later(course: Course, side: str) -> None:
    """Connections are refused: a retryable error; when it is back, the copy succeeds."""
    proxy: Proxy = getattr(course, side)
    proxy.refuse()
    with pytest.raises(RegistryUnavailable, match="gave no answer"):
        course.copy()
    proxy.accept()
    course.copy()
    course.assert_whole()


def test_a_copy_stops_at_its_deadline(course: Course) -> None:
    """Time runs out in the middle of a blob: a retryable error, no tag, and soon enough."""
    course.near.inject(Rule(Drip(size=10_000, seconds=0.2), path="/blobs/sha256", times=None))
    started = time.monotonic()
    with pytest.raises((DeadlineExceeded, Permanent, Retryable)):
        course.copy(Deadline.after(1))
    assert time.monotonic() - started < 30
    course.assert_untagged()
    course.near.heal()
    course.copy()
    course.assert_whole()


def test_time_that_a_source_wastes_ends_at_the_deadline(course: Course) -> None:
    """A byte now and then keeps nobody: the copy ends, to be tried again, and the next is whole."""
    course.near.inject(Rule(Drip(size=1, seconds=0.01), path="/blobs/sha256", times=None))
    with pytest.raises(DeadlineExceeded):
        course.copy(Deadline.after(0.5))
    course.assert_untagged()
    course.near.heal()
    course.copy()
    course.assert_whole()


@pytest.mark.parametrize(("side", "method"), [("near", "GET"), ("far", "PUT")])
def test_a_copy_that_fails_waits_for_nothing_that_is_held(
    course: Course, side: str, method: str
) -> None:
    """Its error is told while another blob's bytes are stuck, at either end."""
    proxy: Proxy = getattr(course, side)
    proxy.inject(Rule(Hold("blob"), method=method, path="/blobs/", times=1))
    refused: Future[Copied] = Future()

    def copy_and_fail() -> None:
        try:
            refused.set_result(course.copy())
        except Permanent as error:
            refused.set_exception(error)

    proxy.inject(Rule(Answer(413), method=method, path="/blobs/", first=2, times=None))
    worker = threading.Thread(target=copy_and_fail)
    worker.start()
    assert proxy.await_held("blob")
    with pytest.raises(Permanent, match="answered 413"):
        refused.result(30)
    worker.join()
    course.assert_untagged()


def test_no_tag_is_seen_while_anything_is_missing(course: Course) -> None:
    """With the last blob held back, all else is there, and the tag is not."""
    course.far.inject(Rule(Hold("blob"), method="PUT", path="uploads", first=3))
    worker = threading.Thread(target=course.copy)
    worker.start()
    assert course.far.await_held("blob")
    course.assert_untagged()
    course.far.release("blob")
    worker.join()
    course.assert_whole()


def test_concurrent_copies_of_one_image_share_its_blobs(course: Course) -> None:
    """Two copies to one place at one time send each blob once."""
    course.far.inject(Rule(Hold("blob"), method="PUT", path="uploads"))
    workers = [threading.Thread(target=course.copy) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert course.far.await_held("blob")
    course.far.release("blob")
    for worker in workers:
        worker.join()
    sent = [
        each for each in course.far.exchanges() if each.method == "PUT" and each.kind == "upload"
    ]
    assert len(sent) <= 4
    course.assert_whole()
