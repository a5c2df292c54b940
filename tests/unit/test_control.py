"""``main.control``: what becomes of a person's decision, and the status that answers it.

Requests go through the Functions Framework, in this process; topics are lists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from promotion import control_log
from promotion.errors import PublishFailed, RegistryUnavailable
from promotion.events import Event
from promotion.evidence.act import Kind
from promotion.evidence.attested import Evidence
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest
from tests.unit.controlling import WHY, Start, only_act
from tests.unit.scripted import Answer, ScriptedServer

STRANGER = Digest("sha256:" + "a" * 64)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"action": "approve", **WHY}, {"stage": "fast-feedback"}),
        (
            {"action": "override", "gates": ["suites"], "expires_in": "4h", **WHY},
            {"stage": "fast-feedback", "gates": ("suites",)},
        ),
        ({"action": "hold", **WHY}, {"stage": "fast-feedback"}),
        ({"action": "release", **WHY}, {"stage": "fast-feedback"}),
        ({"action": "revoke", **WHY}, {"stage": ""}),
        (
            {"action": "promote", "to_stage": "extended-test"},
            {"stage": "fast-feedback", "to_stage": "extended-test", "reason": ""},
        ),
    ],
)
def test_a_decision_about_an_image_is_stated_of_its_digest(
    start_control: Start, content: dict[str, Any], said: dict[str, Any]
) -> None:
    """Signed, in the stage's repository, in the author's name; the answer tells what it says."""
    function = start_control()
    image, digest = function.push()
    answer = function.ask(200, image=image, **content)
    attested = function.stated(image, digest)
    act = attested.said
    expected = {
        "kind": Kind(content["action"]),
        "pipeline": "shop",
        "subject": image.rpartition(":")[0],
        "author": "dev@acme.example",
        "reason": "looked at it",
        "gates": (),
        "to_stage": "",
        **said,
    }
    assert {name: getattr(act, name) for name in expected} == expected
    assert answer["statement"] == attested.basis.statement
    assert answer["statements"] == [answer["statement"]]
    assert (answer["action"], answer["author"]) == (content["action"], "dev@acme.example")
    assert (answer["subject"], answer["digest"]) == (image, digest)
    expiry = act.expires_at.isoformat().replace("+00:00", "Z") if act.expires_at else None
    assert answer["expires_at"] == expiry
    assert (expiry is not None) == (content["action"] == "override")


@pytest.mark.parametrize(
    ("action", "requested"),
    [
        ("promote", True),
        ("approve", True),
        ("override", True),
        ("release", True),
        ("revoke", True),
        ("hold", False),
    ],
)
def test_what_may_change_a_verdict_has_the_image_judged_again(
    start_control: Start, action: str, requested: bool
) -> None:
    """At once, by whoever takes signals; a hold only keeps what would happen from happening."""
    function = start_control()
    image, digest = function.push()
    more: dict[str, Any] = {"gates": ["soak"]} if action == "override" else {}
    answer = function.ask(200, action=action, image=image, **WHY, **more)
    assert answer["evaluation_requested"] is requested
    expected = {"evaluate": {"image": image, "digest": digest}, "statement": answer["statement"]}
    assert function.evaluations() == ([expected] if requested else [])


@pytest.mark.parametrize(("named", "other"), [(0, 1), (1, 0)])
def test_what_is_released_is_judged_again_wherever_it_may_wait(
    start_control: Start, named: int, other: int
) -> None:
    """A hold holds in all stages, so its release lets the image go on from each of them."""
    function = start_control()
    stages = ("fast-feedback", "extended-test")
    images = [function.push(stage) for stage in stages]
    function.push("prod", b"another")
    (image, digest), (elsewhere, _) = images[named], images[other]
    answer = function.ask(200, action="release", image=image, **WHY)
    assert answer["evaluation_requested"]
    assert function.evaluations() == [
        {"evaluate": {"image": each, "digest": digest}, "statement": answer["statement"]}
        for each in (image, elsewhere)
    ]


def test_what_is_released_is_so_where_a_later_stage_cannot_be_asked(
    start_control: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stated, and judged where it was named; the scheduler finds the rest."""
    function = start_control()
    image, digest = function.push()
    function.push("extended-test")
    resolve = RepositoryClient.resolve

    def broken(repository: RepositoryClient, tag: str) -> Digest | None:
        if "/extended-test/" in repository.repository.path:
            raise RegistryUnavailable("extended-test is down")
        return resolve(repository, tag)

    monkeypatch.setattr(RepositoryClient, "resolve", broken)
    assert not function.ask(200, action="release", image=image, **WHY)["evaluation_requested"]
    assert [each["evaluate"]["image"] for each in function.evaluations()] == [image]
    assert function.stated(image, digest).said.kind is Kind.RELEASE


def test_without_a_topic_for_signals_nothing_is_judged_at_once(start_control: Start) -> None:
    """It is stated all the same."""
    function = start_control(PROMOTION_SIGNALS_TOPIC="")
    image, digest = function.push()
    assert not function.ask(200, action="approve", image=image, **WHY)["evaluation_requested"]
    assert function.stated(image, digest).said.kind is Kind.APPROVE


def test_a_lost_signal_takes_nothing_back(
    start_control: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stated counts; the scheduler finds the image later."""
    function = start_control()
    image, digest = function.push()

    def refuse(_: Event) -> str:
        raise PublishFailed("the topic is gone")

    monkeypatch.setattr(function.signals, "publish", refuse)
    assert not function.ask(200, action="approve", image=image, **WHY)["evaluation_requested"]
    assert function.stated(image, digest).said.kind is Kind.APPROVE


def test_a_revocation_that_no_event_would_tell_of_is_to_be_repeated(
    start_control: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts all the same; no scheduler would find an image that waits for nothing."""
    function = start_control()
    image, digest = function.push("prod")

    def refuse(_: Event) -> str:
        raise PublishFailed("the topic is gone")

    with monkeypatch.context() as gone:
        gone.setattr(function.signals, "publish", refuse)
        answer = function.ask(503, action="revoke", image=image, **WHY)
    assert answer["error"].endswith("no event tells of it yet: revoke it again")
    assert function.stated(image, digest).said.kind is Kind.REVOKE
    assert function.ask(200, action="revoke", image=image, **WHY)["evaluation_requested"]


@pytest.mark.parametrize("action", ["hold", "release", "revoke"])
def test_what_holds_in_all_stages_is_stated_wherever_the_digest_is(
    start_control: Start, action: str
) -> None:
    """The gate of an earlier stage, which may lead elsewhere, does not look at the later one."""
    function = start_control()
    earlier, _ = function.push("fast-feedback")
    image, digest = function.push("extended-test")
    answer = function.ask(200, action=action, image=image, **WHY)
    attested = function.stated(earlier, digest)
    assert attested.said.subject == image.rpartition(":")[0]
    assert attested.said.kind is Kind(action)
    assert answer["statements"] == [attested.basis.statement]
    assert not function.repository("prod/shop").has_manifest(digest)


def test_what_holds_in_one_stage_is_stated_there_alone(start_control: Start) -> None:
    """An approval."""
    function = start_control()
    earlier, digest = function.push("fast-feedback")
    image, _ = function.push("extended-test")
    function.ask(200, action="approve", image=image, **WHY)
    assert function.stated(image, digest).said.kind is Kind.APPROVE
    place = function.repository("fast-feedback/shop")
    assert function.store.read(digest, [place]) == Evidence(), earlier


def test_a_revocation_gets_as_far_as_it_can(
    start_control: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that is down does not keep the others from knowing; the answer tells of it."""
    function = start_control()
    image, digest = function.push("prod")
    looked = RepositoryClient.has_manifest

    def broken(repository: RepositoryClient, digest: Digest) -> bool:
        if "/extended-test/" in repository.repository.path:
            raise PublishFailed("extended-test is down")
        return looked(repository, digest)

    with monkeypatch.context() as down:
        down.setattr(RepositoryClient, "has_manifest", broken)
        answer = function.ask(503, action="revoke", image=image, **WHY)
    assert answer["error"] == "Stated for 2 of 3 stages, so do it again: extended-test is down"
    assert function.stated(image, digest).said.kind is Kind.REVOKE


def test_a_stage_is_held_and_released_in_its_own_repository(start_control: Start) -> None:
    """No image is named, and no other stage hears of it."""
    function = start_control()
    held = function.ask(200, action="hold", pipeline="shop", stage="prod", **WHY)
    attested = only_act(function.stated_of_stage("prod"))
    stage = f"{function.registry.host}/shop/prod"
    assert (attested.said.stage, attested.said.subject) == ("prod", stage)
    assert (held["statement"], held["subject"]) == (attested.basis.statement, stage)
    assert held["digest"] == ""
    function.ask(200, action="release", pipeline="shop", stage="prod", **WHY)
    acts = [each.said for each in function.stated_of_stage("prod").acts]
    assert {each.kind for each in acts} == {Kind.HOLD, Kind.RELEASE}
    assert function.stated_of_stage("fast-feedback") == Evidence()
    assert function.evaluations() == []


def test_a_pipeline_is_held_in_each_of_its_stages(start_control: Start) -> None:
    """So that every stage's registry alone tells of it."""
    function = start_control()
    held = function.ask(200, action="hold", pipeline="shop", expires_in="2d", **WHY)
    stages = ("fast-feedback", "extended-test", "prod")
    attested = [only_act(function.stated_of_stage(stage)) for stage in stages]
    assert {(each.said.pipeline, each.said.stage) for each in attested} == {("shop", "")}
    assert [each.basis.statement for each in attested] == held["statements"]
    assert (held["subject"], held["stage"]) == ("shop", "")


def test_a_hold_of_a_pipeline_gets_as_far_as_it_can(
    start_control: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that is down does not keep the others from being held; the answer tells of it."""
    function = start_control()
    state = control_log.state

    def broken(repository: RepositoryClient, *more: Any) -> Digest:
        if "/fast-feedback/" in repository.repository.path:
            raise PublishFailed("fast-feedback is down")
        return state(repository, *more)

    with monkeypatch.context() as down:
        down.setattr(control_log, "state", broken)
        answer = function.ask(503, action="hold", pipeline="shop", **WHY)
    assert answer["error"] == "Stated for 2 of 3 stages, so do it again: fast-feedback is down"
    assert only_act(function.stated_of_stage("prod")).said.kind is Kind.HOLD


def test_a_digest_must_be_what_the_tag_names(start_control: Start) -> None:
    """409 with both digests, if it is not, and nothing is stated; named in either way."""
    function = start_control()
    image, digest = function.push()
    pinned = f"{image}@{STRANGER}"
    for named, other in ((image, STRANGER), (pinned, ""), (pinned, STRANGER)):
        answer = function.ask(409, action="approve", image=named, digest=other, **WHY)
        error = answer["error"]
        assert digest in error
        assert STRANGER in error
    function.ask(200, action="approve", image=f"{image}@{digest}", digest=digest, **WHY)
    assert function.stated(image, digest).said.kind is Kind.APPROVE
    answer = function.ask(400, action="approve", image=pinned, digest=digest, **WHY)
    assert "disagree" in answer["error"]


def test_an_image_that_is_not_there_is_not_found(start_control: Start) -> None:
    """404, with or without a digest."""
    function = start_control()
    image = f"{function.registry.host}/shop/fast-feedback/shop:1.0"
    for digest in ("", STRANGER):
        error = function.ask(404, action="approve", image=image, digest=digest, **WHY)["error"]
        assert error == f"{image} does not exist; check the name and the tag"


BAD = [
    ({"action": "approve", "image": "{host}/shop/fast-feedback/shop:1.0"}, "approve needs reason"),
    ({"action": "approve", "image": "shop:1.0", **WHY}, "does not begin with a registry host"),
    ({"action": "approve", "image": "{host}/shop/qa/shop:1.0", **WHY}, "is in no stage"),
    ({"action": "approve", "image": "{host}/shop/prod/promotion-control:1", **WHY}, "no image"),
    (
        {"action": "approve", "image": f"{{host}}/shop/fast-feedback/shop@{STRANGER}", **WHY},
        "has no tag",
    ),
    (
        {"action": "approve", "image": "{host}/shop/prod/shop:1.0", "digest": "latest", **WHY},
        "is not a digest",
    ),
    ({"action": "hold", "pipeline": "other", **WHY}, "no pipeline 'other'; .* knows shop"),
    (
        {"action": "hold", "pipeline": "shop", "stage": "qa", **WHY},
        "no stage of shop 'qa'; .* knows fast-feedback, extended-test, prod",
    ),
    (
        {"action": "promote", "image": "{host}/shop/fast-feedback/shop:1.0", "to_stage": "prod"},
        "fast-feedback does not promote to 'prod', but to extended-test",
    ),
    ({"action": "promote", "image": "{host}/shop/prod/shop:1.0"}, "Nothing leaves prod"),
    (
        {"action": "override", "image": "{host}/shop/prod/shop:1.0", "gates": ["soak"], **WHY},
        "Nothing leaves prod",
    ),
]


@pytest.mark.parametrize(("content", "complaint"), BAD)
def test_what_the_configuration_does_not_know_is_a_bad_request(
    start_control: Start, content: dict[str, Any], complaint: str
) -> None:
    """400 with a text that says what is wrong; nothing is written."""
    function = start_control()
    if "image" in content:
        content = {**content, "image": content["image"].format(host=function.registry.host)}
    assert re.search(complaint, function.ask(400, **content)["error"])
    assert not any(each.method in ("PUT", "POST") for each in function.registry.served)


@pytest.mark.parametrize("body", [b"", b"not JSON", b'{"action": "approve", "until": "x"}'])
def test_what_is_no_decision_is_a_bad_request(start_control: Start, body: bytes) -> None:
    """400, and the error is JSON."""
    answer = start_control().http.post("/", data=body)
    assert answer.status_code == 400
    assert json.loads(answer.data)["error"].startswith("Not a decision: ")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_a_decision_is_posted(start_control: Start, method: str) -> None:
    """405 for all other methods."""
    answer = start_control().http.open("/", method=method, json={"action": "approve"})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert json.loads(answer.data) == {"error": "Send a decision with POST"}


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_trouble_with_the_registry_is_worth_another_try(start_control: Start, status: int) -> None:
    """503, and the text says what the registry answered."""
    with ScriptedServer(Answer(status)) as registry:
        image = f"{registry.host}/shop/fast-feedback/shop:1.0"
        error = start_control(registry.host).ask(503, action="approve", image=image, **WHY)["error"]
    assert str(status) in error


def test_a_registry_out_of_reach_is_worth_another_try(
    start_control: Start, free_host: Callable[[], str]
) -> None:
    """503, for an image and for a whole pipeline."""
    host = free_host()
    function = start_control(host)
    function.ask(503, action="approve", image=f"{host}/shop/fast-feedback/shop:1.0", **WHY)
    function.ask(503, action="hold", pipeline="shop", **WHY)


def test_a_pubsub_push_is_no_decision(start_control: Start) -> None:
    """A test result that is pushed to this entry point has no effect."""
    function = start_control()
    push = {"message": {"messageId": "7", "publishTime": "2026-01-31T12:00:00Z", "data": "e30="}}
    answer = function.http.post("/", json={**push, "subscription": "projects/p/subscriptions/s"})
    assert answer.status_code == 400
    assert not function.registry.served
