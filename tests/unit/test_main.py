"""What becomes of a message, row by row of the contract: the effect, and the status for Pub/Sub.

Requests go through the Functions Framework, in this process; topics are lists.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from flask import Flask
from flask.testing import FlaskClient

from dev import images
from dev.registry import EmbeddedRegistry
from dev.stack import ROOT, signed, three_stages
from promotion import publisher
from promotion.errors import PublishFailed
from promotion.events import DENIED, PROMOTED, Event
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Repository
from promotion.registry.transport import Transport
from tests.topics import RecordedTopic
from tests.unit.attesting import KEY, STRANGER
from tests.unit.scripted import Answer, ScriptedServer

# The framework computes a default with utcnow, which Python 3.12 and later warn about.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

SUBSCRIPTION = "projects/p/subscriptions/shop-results"
TOPIC = "projects/p/topics/shop-results"
DIGEST = Digest("sha256:" + "a" * 64)


@dataclass
class Function:
    """The deployed function, as Pub/Sub sees it, and the topics that it publishes to."""

    http: FlaskClient
    registry: EmbeddedRegistry
    stage: RepositoryClient
    events: RecordedTopic
    dead_letters: RecordedTopic

    def push_image(self, content: bytes = b"tested", tag: str = "1.0") -> Digest:
        """Push an image to fast-feedback and return its digest."""
        return images.push_image(self.stage, [content], tag=tag).digest

    def result(self, digest: Digest, **changes: Any) -> bytes:
        """A passing result about version 1.0."""
        reference = f"{self.stage.repository}:1.0"
        plain = {"image": reference, "digest": digest, "suite": "functional"}
        return json.dumps({**plain, "outcome": "success", **changes}).encode()

    def deliver(
        self,
        data: bytes | None,
        attributes: Mapping[str, str] | None = None,
        published: datetime | None = None,
        attempt: int = 1,
        subscription: str = SUBSCRIPTION,
    ) -> int:
        """Push a message as Pub/Sub does; the status of the answer."""
        moment = published or datetime.now(UTC)
        message = {
            "attributes": dict(attributes or {}),
            "messageId": "7",
            "publishTime": moment.isoformat().replace("+00:00", "Z"),
        }
        if data is not None:
            message["data"] = base64.b64encode(data).decode()
        push = {"message": message, "subscription": subscription, "deliveryAttempt": attempt}
        return self.http.post(f"/{TOPIC}", json=push).status_code

    def kinds(self) -> list[str]:
        """The types of the events published so far."""
        return [event.attributes["ce-type"] for event in self.events.events]


Start = Callable[..., Function]


def application() -> Flask:
    """The function as the framework serves it, read anew with the present environment."""
    app: Flask = functions_framework.create_app(  # type: ignore[no-untyped-call]
        "promote", str(ROOT / "main.py"), "cloudevent"
    )
    return app


@pytest.fixture
def start(
    tmp_path: Path,
    near: EmbeddedRegistry,
    transport: Transport,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Start]:
    """Starts the function with a promotion.yaml of three stages and the environment given."""
    topics = {"events": RecordedTopic(), "dead-letters": RecordedTopic()}
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def start(
        registry: str = "", results: str = "", signing: str = "", **environment: str
    ) -> Function:
        configuration = tmp_path / "promotion.yaml"
        configuration.write_text(three_stages(registry or near.host, results=results) + signing)
        monkeypatch.setenv("PROMOTION_CONFIG", str(configuration))
        monkeypatch.setenv("PROMOTION_EVENTS_TOPIC", "events")
        monkeypatch.setenv("PROMOTION_DEAD_LETTER_TOPIC", "dead-letters")
        monkeypatch.setattr(publisher, "topic", topics.__getitem__)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        host = registry or near.host
        stage = RepositoryClient(Repository(host, "shop/fast-feedback/shop"), transport)
        return Function(
            application().test_client(), near, stage, topics["events"], topics["dead-letters"]
        )

    yield start
    root.handlers[:] = handlers
    root.setLevel(level)


BAD_RESULTS: dict[str, Callable[[Function, Digest], bytes]] = {
    "not JSON": lambda *_: b"{not JSON",
    "a field missing": lambda *_: b'{"suite": "functional"}',
    "a wrong value": lambda function, digest: function.result(digest, outcome="great"),
    "host of no stage": lambda function, digest: function.result(
        digest, image="evil.example/a/shop:1"
    ),
    "path of no stage": lambda function, digest: function.result(
        digest, image=f"{function.registry.host}/other/shop:1"
    ),
    "no tag": lambda function, digest: function.result(
        digest, image=str(function.stage.repository)
    ),
    "a person's decision": lambda function, digest: json.dumps(
        {
            "action": "approve",
            "image": f"{function.stage.repository}:1.0",
            "digest": digest,
            "reason": "looked at it",
        }
    ).encode(),
    "from the future": lambda function, digest: function.result(
        digest, finished_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat()
    ),
}


@pytest.mark.parametrize("bad", BAD_RESULTS.values(), ids=BAD_RESULTS.keys())
def test_a_bad_message_is_put_aside(start: Start, bad: Callable[[Function, Digest], bytes]) -> None:
    """200, and the dead-letter topic has the bytes, the attributes, and why."""
    function = start()
    data = bad(function, function.push_image())
    assert function.deliver(data, {"key": "value", "promotion-dlq-topic": "forged"}) == 200
    (letter,) = function.dead_letters.events
    assert letter.data == data
    assert letter.attributes["key"] == "value"
    assert letter.attributes["promotion-dlq-class"] == "permanent"
    assert letter.attributes["promotion-dlq-topic"] == TOPIC
    assert 0 < len(letter.attributes["promotion-dlq-reason"].encode()) <= 1024
    assert function.events.events == []


def test_a_message_without_data_is_put_aside(start: Start) -> None:
    """The framework cannot convert such a push; it is answered like any other bad message."""
    function = start()
    assert function.deliver(None, {"key": "value"}) == 200
    (letter,) = function.dead_letters.events
    assert (letter.data, letter.attributes["key"]) == (b"", "value")


def test_text_that_nothing_can_write_is_put_aside(start: Start) -> None:
    """Half of a character, which a structured CloudEvent may hold, is no reason to try for ever."""
    function = start(results=SUBSCRIPTION)
    said = json.loads(function.result(function.push_image(), suite="\ud800"))
    data = json.dumps(
        {"specversion": "1.0", "id": "1", "source": "/ci", "type": "t", "data": said}
    ).encode()
    attributes = {"content-type": "application/cloudevents+json"}
    for subscription in (SUBSCRIPTION, "projects/p/subscriptions/other"):
        assert function.deliver(data, attributes, subscription=subscription) == 200
    assert [letter.data for letter in function.dead_letters.events] == [data] * 2


def test_a_result_through_another_subscription_is_put_aside(start: Start) -> None:
    """A pipeline that names its subscription takes no result from elsewhere."""
    function = start(results=SUBSCRIPTION)
    data = function.result(function.push_image())
    assert function.deliver(data, subscription="projects/p/subscriptions/other") == 200
    assert len(function.dead_letters.events) == 1
    assert function.deliver(data) == 200
    assert function.kinds() == [PROMOTED]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"suite": "lint"}, "recorded: no gate"),
        ({"outcome": "cancel"}, "the suite ended with cancel"),
        ({"outcome": "error"}, "the suite ended with error"),
    ],
)
def test_what_leads_to_no_verdict_or_waits_is_logged(
    start: Start, changes: dict[str, str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """200 and a line in the log; no event, no dead letter."""
    function = start()
    assert function.deliver(function.result(function.push_image(), **changes)) == 200
    assert function.events.events == function.dead_letters.events == []
    assert line in capsys.readouterr().err


def test_the_last_stage_leads_to_no_verdict(start: Start) -> None:
    """From prod there is nowhere to go: recorded, 200."""
    function = start()
    prod = Repository(function.registry.host, "shop/prod/shop")
    image = images.push_image(RepositoryClient(prod, function.stage.transport), [b"x"], tag="1.0")
    assert function.deliver(function.result(image.digest, image=f"{prod}:1.0")) == 200
    assert function.events.events == function.dead_letters.events == []


def test_a_promotion_is_acknowledged_after_its_event(start: Start) -> None:
    """200; by then the image is in the next stage, and the promoted event is out."""
    function = start()
    assert function.deliver(function.result(function.push_image())) == 200
    assert function.kinds() == [PROMOTED]


def deny_by_failure(function: Function) -> bytes:
    """A failed suite."""
    return function.result(function.push_image(), outcome="failure")


def deny_by_moved_tag(function: Function) -> bytes:
    """A tag that names other content now."""
    tested = function.push_image()
    function.push_image(b"pushed over it")
    return function.result(tested)


def deny_by_conflict(function: Function) -> bytes:
    """A version that is taken at the destination."""
    host = function.registry.host
    extended = Repository(host, "shop/extended-test/shop")
    transport = function.stage.transport
    images.push_image(RepositoryClient(extended, transport), [b"other"], tag="1.0")
    return function.result(function.push_image())


@pytest.mark.parametrize("case", [deny_by_failure, deny_by_moved_tag, deny_by_conflict])
def test_a_denial_is_acknowledged_after_its_event(
    start: Start, case: Callable[[Function], bytes]
) -> None:
    """200 and a denied event, which a second delivery does not publish again."""
    function = start()
    data = case(function)
    moment = datetime.now(UTC)
    assert function.deliver(data, published=moment) == 200
    assert function.deliver(data, published=moment) == 200
    assert function.kinds() == [DENIED]
    assert function.dead_letters.events == []


def test_an_image_that_is_not_there_is_waited_for_and_then_denied(start: Start) -> None:
    """5xx for ten minutes after it was published, then a denied event and 200."""
    function = start()
    data = function.result(function.push_image(tag="other"))
    now = datetime.now(UTC)
    assert function.deliver(data, published=now - timedelta(minutes=9)) == 503
    assert function.events.events == []
    assert function.deliver(data, published=now - timedelta(minutes=11)) == 200
    assert function.kinds() == [DENIED]


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_registry_that_refuses_is_worth_another_delivery(start: Start, status: int) -> None:
    """5xx while it does; on the last attempt the message is put aside as retryable."""
    with ScriptedServer(*[Answer(status)] * 4) as registry:
        function = start(registry.host, PROMOTION_MAX_DELIVERY_ATTEMPTS="5")
        data = function.result(DIGEST)
        assert function.deliver(data, attempt=4) == 503
        assert function.dead_letters.events == []
        assert function.deliver(data, attempt=5) == 200
    (letter,) = function.dead_letters.events
    assert letter.data == data
    assert letter.attributes["promotion-dlq-class"] == "retryable"
    assert str(status) in letter.attributes["promotion-dlq-reason"]


def test_a_registry_out_of_reach_is_worth_another_delivery(
    start: Start, free_host: Callable[[], str]
) -> None:
    """Nothing is acknowledged while there is no answer."""
    function = start(free_host())
    assert function.deliver(function.result(DIGEST)) == 503


def test_an_event_that_cannot_be_published_is_worth_another_delivery(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image is promoted, but nothing is acknowledged before the event is out."""
    function = start()
    data = function.result(function.push_image())
    moment = datetime.now(UTC)

    def refuse(_: Event) -> str:
        raise PublishFailed("the topic is gone")

    with monkeypatch.context() as broken:
        broken.setattr(function.events, "publish", refuse)
        assert function.deliver(data, published=moment) == 503
    assert function.deliver(data, published=moment) == 200
    assert function.kinds() == [PROMOTED]


def test_a_bug_is_worth_another_delivery(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is not ours is a 500, and nothing of it reaches the answer."""
    function = start()

    def crash(_: Event) -> str:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(function.events, "publish", crash)
    assert function.deliver(function.result(function.push_image())) == 500


CLOUD_EVENT = {
    "ce-id": "1",
    "ce-source": "/ci",
    "ce-type": "t",
    "ce-specversion": "1.0",
    "Content-Type": "application/json",
}


def test_only_wrapped_push_counts_in_production(start: Start) -> None:
    """A CloudEvent sent over HTTP, with headers that anybody can write, has no effect."""
    function = start()
    data = function.result(function.push_image())
    assert function.http.post("/", data=data, headers=CLOUD_EVENT).status_code == 403
    assert function.http.post("/", data=data, content_type="application/json").status_code == 403
    assert function.http.post("/", data=b"text", content_type="text/plain").status_code == 403
    assert function.http.get("/").status_code == 405
    assert function.events.events == function.dead_letters.events == []


def test_development_takes_cloud_events(start: Start) -> None:
    """With PROMOTION_DEV=1 a plain CloudEvent, binary or structured, is a message."""
    function = start(PROMOTION_DEV="1")
    data = function.result(function.push_image())
    assert function.http.post("/", data=data, headers=CLOUD_EVENT).status_code == 200
    assert function.kinds() == [PROMOTED]
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": json.loads(data)}
    headers = {"Content-Type": "application/cloudevents+json"}
    assert function.http.post("/", json=event, headers=headers).status_code == 200
    assert function.http.post("/", data=b"not JSON", headers=CLOUD_EVENT).status_code == 200
    (letter,) = function.dead_letters.events
    assert letter.data == b"not JSON"


def test_development_takes_a_push_without_wrapper(start: Start) -> None:
    """With PROMOTION_DEV=1 this form, which the framework cannot convert, is a message too."""
    function = start(PROMOTION_DEV="1")
    data = function.result(function.push_image())
    headers = {"x-goog-pubsub-message-id": "7", "Content-Type": "application/x-www-form-urlencoded"}
    assert function.http.post("/", data=data, headers=headers).status_code == 200
    assert function.kinds() == [PROMOTED]


@pytest.mark.parametrize("text", ["pipelines: {}", "", None])
def test_a_bad_configuration_ends_the_process_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, start: Start
) -> None:
    """Without a valid promotion.yaml nothing is started, so no message is ever taken."""
    start()
    configuration = tmp_path / "bad.yaml"
    if text is not None:
        configuration.write_text(text)
    monkeypatch.setenv("PROMOTION_CONFIG", str(configuration))
    with pytest.raises(SystemExit) as ended:
        application()
    assert ended.value.code == 1


def test_without_signing_it_says_what_that_means(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At start, as a warning; where statements are signed there is nothing to warn of."""
    warning = "has no signing: whoever can write to a stage's repository can open its gate"
    start()
    assert warning in capsys.readouterr().err
    start(signing=signed(tmp_path))
    assert capsys.readouterr().err == ""


def test_a_signing_key_that_is_not_trusted_ends_the_process_at_start(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every statement of its own would be ignored, and every message be tried for ever."""
    key = tmp_path / "key.pem"
    key.write_bytes(KEY.to_pem())
    text = "signing: {{key: {}, trusted: [{}]}}\n"
    stranger, own = json.dumps(STRANGER.public.pem), json.dumps(KEY.public.pem)
    with pytest.raises(SystemExit) as ended:
        start(signing=text.format(key, stranger))
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "signing.trusted does not hold the public key of signing.key" in said
    assert KEY.public.pem in said
    start(signing=text.format(key, f"{stranger}, {own}"))
