"""What a message names decides nothing about the network: strange images are put aside unasked."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import pytest

from promotion.events import Event
from promotion.publisher import LoggedTopic
from tests.unit import test_main
from tests.unit.test_main import DIGEST, Function, Start

pytestmark = test_main.pytestmark
start = test_main.start

SIGNALS = "projects/p/subscriptions/signals"
STAGE = "shop/fast-feedback"
NO_NAME = {
    "a host that begins alike": f"{{host}}.evil.example/{STAGE}/shop:1.0",
    "a user": f"user:password@{{host}}/{STAGE}/shop:1.0",
    "the registry as a user": f"{{host}}@evil.example/{STAGE}/shop:1.0",
    "a scheme": f"https://{{host}}/{STAGE}/shop:1.0",
    "IPv6 that means the registry": f"[::ffff:127.0.0.1]:{{port}}/{STAGE}/shop:1.0",
    "IPv6 with a zone": f"[fe80::1%eth0]:{{port}}/{STAGE}/shop:1.0",
    "a percent sign in the host": f"127.0.0.1%3A{{port}}/{STAGE}/shop:1.0",
    "a percent sign in the path": "{host}/shop/%66ast-feedback/shop:1.0",
    "an encoded slash": "{host}/shop%2ffast-feedback/shop:1.0",
    "an encoded step up": f"{{host}}/{STAGE}/%2e%2e/prod/shop:1.0",
    "a step up": f"{{host}}/{STAGE}/../prod/shop:1.0",
    "a step up in the name": f"{{host}}/{STAGE}/..:1.0",
    "a backslash": f"{{host}}/{STAGE}\\shop:1.0",
    "two slashes": f"{{host}}//{STAGE}/shop:1.0",
    "a query": f"{{host}}/{STAGE}/shop?x=y:1.0",
    "a fragment": f"{{host}}/{STAGE}/shop#x:1.0",
    "wide digits": f"１２７.0.0.1:{{port}}/{STAGE}/shop:1.0",
    "a wide full stop": f"127。0.0.1:{{port}}/{STAGE}/shop:1.0",
    "a Cyrillic letter": "{host}/shop/f\u0430st-feedback/shop:1.0",
    "a Cyrillic host": f"l\u043ecalhost:{{port}}/{STAGE}/shop:1.0",
    "a letter that folds": f"{{host}}/{STAGE}/\u212ashop:1.0",
    "an invisible letter": f"{{host}}/{STAGE}/sh\u200bop:1.0",
    "a line break": f"{{host}}/{STAGE}/shop:1.0\n",
    "a line break inside": f"{{host}}/{STAGE}/shop\r\nHost: evil.example:1.0",
    "a space": f" {{host}}/{STAGE}/shop:1.0",
    "a zero byte": f"{{host}}/{STAGE}/shop\0:1.0",
    "upper case": f"{{host}}/{STAGE}/SHOP:1.0",
    "a long host": f"{'a.' * 200}example/{STAGE}/shop:1.0",
    "a long label": f"{'a' * 64}.example/{STAGE}/shop:1.0",
    "a long path": f"{{host}}/{STAGE}/{'a' * 256}:1.0",
    "a long tag": f"{{host}}/{STAGE}/shop:{'1' * 129}",
    "a very long name": f"{{host}}/{STAGE}/{'a/' * 40_000}shop:1.0",
    "no tag": f"{{host}}/{STAGE}/shop",
    "a digest of no kind": f"{{host}}/{STAGE}/shop:1.0@md5:{'b' * 32}",
    "nothing": "",
    "a host that ends in a dot": f"localhost.:{{port}}/{STAGE}/shop:1.0",
    "a digest in upper case": f"{{host}}/{STAGE}/shop:1.0@sha256:{'B' * 64}",
    "a digest that ends with its line": f"{{host}}/{STAGE}/shop:1.0@sha256:{'b' * 63}\n",
    "a digest of wide letters": f"{{host}}/{STAGE}/shop:1.0@sha256:" + "\uff42" * 64,
    "a tag of other digits": f"{{host}}/{STAGE}/shop:\u0661",
}
"""What is no name of an image, whatever stages there are."""

ELSEWHERE = {
    "another host": f"evil.example/{STAGE}/shop:1.0",
    "another port": f"{{name}}:1/{STAGE}/shop:1.0",
    "no port": f"{{name}}/{STAGE}/shop:1.0",
    "IPv6": f"[::1]:{{port}}/{STAGE}/shop:1.0",
    "a decimal address": f"2130706433:{{port}}/{STAGE}/shop:1.0",
    "a hexadecimal address": f"0x7f.0.0.1:{{port}}/{STAGE}/shop:1.0",
    "a short address": f"127.1:{{port}}/{STAGE}/shop:1.0",
    "metadata": f"metadata.google.internal/{STAGE}/shop:1.0",
    "a path of no stage": "{host}/shop/fast-feedback-2/shop:1.0",
    "no name": "{host}/shop/fast-feedback:1.0",
    "a name that is kept": f"{{host}}/{STAGE}/promotion-control:1.0",
    "another digest": f"{{host}}/{STAGE}/shop:1.0@sha256:{'b' * 64}",
}
"""Names of images in no stage, or not of the image that the digest is of."""

REFUSALS = {
    "does not begin with a registry host|is not a repository path|is not a tag|is not a digest"
    "|names neither a tag nor a digest|of length": NO_NAME,
    "which no stage uses|is in no stage|is kept for records|disagree": ELSEWHERE,
}
"""Why each of them is refused."""


def result(image: str) -> dict[str, Any]:
    """A test result in the plain form."""
    return {"image": image, "digest": DIGEST, "suite": "functional", "outcome": "success"}


def deployment(image: str) -> dict[str, Any]:
    """A deployment in the plain form."""
    return {"image": image, "digest": DIGEST, "deployed_at": "2026-01-31T12:00:00Z"}


def cd_event(image: str) -> dict[str, Any]:
    """A test result as a CDEvent."""
    kind = "dev.cdevents.testsuiterun.finished.0.2.0"
    return {
        "context": {"type": kind, "timestamp": "2026-01-31T12:00:00Z"},
        "subject": {"content": {"outcome": "success", "testSuite": {"id": "functional"}}},
        "customData": {"image": image, "digest": DIGEST},
    }


def evaluation(image: str) -> dict[str, Any]:
    """A request to look again."""
    return {"evaluate": {"image": image or "nothing", "digest": DIGEST}}


FORMS = [result, deployment, cd_event, evaluation]


@pytest.fixture
def function(start: Start) -> Function:
    """The function, which takes signals too."""
    return start(signing=f"signals: {SIGNALS}\n")


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What of the network has been asked for: each name that is looked up, each connection."""
    used: list[str] = []

    def note(name: str) -> Any:
        def noted(*arguments: object, **_: object) -> None:
            used.append(f"{name}{arguments}")
            raise OSError("no network in this test")

        return noted

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, note(name))
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, note(name))
    return used


def test_a_strange_image_is_put_aside_before_any_use_of_the_network(
    function: Function, used: list[str]
) -> None:
    """In whatever form a message names it: acknowledged, a dead letter, and nobody was asked."""
    name, _, port = function.registry.host.rpartition(":")
    for why, strange in REFUSALS.items():
        for told, template in strange.items():
            image = template.format(host=function.registry.host, name=name, port=port)
            for form in FORMS:
                data = json.dumps(form(image)).encode()
                assert function.deliver(data, subscription=SIGNALS) == 200, told
                letter = function.dead_letters.events.pop()
                assert letter.data == data, told
                assert letter.attributes["promotion-dlq-class"] == "permanent", told
                assert re.search(why, letter.attributes["promotion-dlq-reason"]), told
                assert used == [], told
    assert function.events.events == []
    assert function.registry.served == []


def test_half_a_character_in_a_message_is_no_reason_to_crash(function: Function) -> None:
    """It is put aside like any bad message, though the reason would repeat what is no text."""
    event = {"specversion": "\ud800", "id": "1", "source": "/ci", "type": "t"}
    attributes = {"content-type": "application/cloudevents+json"}
    assert function.deliver(json.dumps(event).encode(), attributes) == 200
    (letter,) = function.dead_letters.events
    assert letter.attributes["promotion-dlq-reason"].isprintable()


@pytest.mark.parametrize("data", [b"[" * 100_000, b"[" * 990 + b"]" * 990, b"9" * 5_000, b"\xff"])
def test_where_the_log_takes_dead_letters_it_takes_them_all(data: bytes) -> None:
    """It shows JSON as such, and whatever else as text."""
    LoggedTopic().publish(Event(data, {}))


@pytest.mark.parametrize("label", ["../prod/shop", "%2e%2e/x", "evil.example/x", "a/../../b", ""])
def test_the_labels_of_an_incident_name_nothing_outside_their_stage(
    function: Function, label: str
) -> None:
    """An alert policy's labels are no part of a path, unless they are an image's name."""
    incident = {
        "incident_id": "0.1",
        "state": "open",
        "started_at": 1769860800,
        "policy_user_labels": {"pipeline": "shop", "stage": "fast-feedback", "image": label},
    }
    data = json.dumps({"incident": incident}).encode()
    assert function.deliver(data, subscription=SIGNALS) == 200
    paths = [each.path for each in function.registry.served]
    assert paths
    assert all(each.startswith(f"/v2/{STAGE}/") and ".." not in each for each in paths)


def test_a_message_as_large_as_any_is_put_aside(function: Function) -> None:
    """Ten megabytes, which is all that Pub/Sub takes, arrive and become a dead letter."""
    data = json.dumps(result("evil.example/a/b:1")).encode().ljust(10_000_000)
    assert function.deliver(data) == 200
    (letter,) = function.dead_letters.events
    assert "10,000,000 bytes" in letter.attributes["promotion-dlq-reason"]


def test_a_request_larger_than_any_push_is_not_read(function: Function) -> None:
    """It is refused by its length, before anything is made of it."""
    answer = function.http.post("/", data=bytes(17 * 1024 * 1024), content_type="application/json")
    assert answer.status_code == 413
    assert function.dead_letters.events == []


@pytest.mark.parametrize("value", ["", "0", "false", "true", "yes", " 1"])
def test_nothing_but_1_makes_it_development(start: Start, value: str) -> None:
    """Headers that a publisher can set are believed in no deployment by accident."""
    function = start(PROMOTION_DEV=value)
    headers = {"ce-specversion": "1.0", "ce-id": "7", "ce-source": "/ci", "ce-type": "t"}
    assert function.http.post("/", json=result("a.b/c:1"), headers=headers).status_code == 403
    assert function.dead_letters.events == []


def test_the_network_is_watched(function: Function, used: list[str]) -> None:
    """An image that is in a stage is asked for: what proves the others' silence can speak."""
    image = f"{function.registry.host}/{STAGE}/shop:1.0"
    assert function.deliver(json.dumps(result(image)).encode()) == 503
    assert used
