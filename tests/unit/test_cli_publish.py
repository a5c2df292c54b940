"""``promotion publish`` with reports of tests, and with the wait for what becomes of the image."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dev.stack import three_stages
from promotion import cli, messages, policy, publisher
from promotion.delivery import Message
from promotion.events import Event
from promotion.messages import TestResult
from promotion.policy import Policy, PolicyKeeper
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository
from tests.topics import RecordedTopic
from tests.unit.scripted import Answer, ScriptedServer
from tests.unit.shop import PUBLISHED, Shop

EARLIER = PUBLISHED - timedelta(days=1)
TOPIC = "projects/p/topics/shop-results"
PASSED = "<testsuite><testcase/><testcase/><testcase><skipped/></testcase></testsuite>"
FAILED = "<testsuite><testcase/><testcase><failure/></testcase></testsuite>"
SKIPPED = "<testsuite><testcase><skipped/></testcase></testsuite>"
EMPTY = '<testsuite tests="3"/>'


class HandledTopic(RecordedTopic):
    """A results topic behind which a function handles what is published, at once."""

    def __init__(self, shop: Shop) -> None:
        super().__init__()
        self._shop = shop

    def publish(self, event: Event) -> str:
        """Hand it over, and let it have its effect."""
        message = Message(event.data, event.attributes, "1", datetime.now(UTC))
        result = messages.parse(message)
        assert isinstance(result, TestResult)
        self._shop.handle(result)
        return super().publish(event)


@pytest.fixture
def topic(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> HandledTopic:
    """The topic, whatever its name."""
    topic = HandledTopic(shop)
    monkeypatch.setattr(publisher, "topic", lambda _: topic)
    return topic


@pytest.fixture
def image(shop: Shop) -> str:
    """The name of an image that is there to be tested."""
    shop.push()
    return f"{shop.stage('fast-feedback').repository}:1.0"


@pytest.fixture
def reports(tmp_path: Path) -> dict[str, str]:
    """Files with reports, by what they say."""
    texts = {"passed": PASSED, "failed": FAILED, "skipped": SKIPPED, "empty": EMPTY, "cut": "<t"}
    for name, text in texts.items():
        (tmp_path / f"{name}.xml").write_text(text, encoding="utf-8")
    return {name: str(tmp_path / f"{name}.xml") for name in texts}


def publish(image: str, *options: str) -> int:
    """Publish a result of the suite functional; the exit code."""
    try:
        return cli.main(["publish", image, "--suite", "functional", "--topic", TOPIC, *options], {})
    except SystemExit as ended:
        return int(ended.code or 0)


def outcomes(topic: RecordedTopic) -> list[Any]:
    """The outcomes that have been sent."""
    return [json.loads(event.data)["outcome"] for event in topic.events]


@pytest.mark.parametrize(
    ("names", "outcome", "said"),
    [
        (["passed"], "success", "2 passed, 0 failed, 1 skipped"),
        (["passed", "failed"], "failure", "3 passed, 1 failed, 1 skipped"),
        (["passed", "skipped", "empty"], "success", "2 passed, 0 failed, 2 skipped"),
    ],
)
def test_reports_tell_the_outcome(
    image: str,
    topic: HandledTopic,
    reports: dict[str, str],
    names: list[str],
    outcome: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One or several of them, which count together; the counts are shown."""
    assert publish(image, "--junit", *(reports[name] for name in names)) == 0
    assert outcomes(topic) == [outcome]
    assert capsys.readouterr().out.startswith(f"sent: functional {outcome} ({said}) for {image}@")


def test_the_option_may_be_given_twice(
    image: str, topic: HandledTopic, reports: dict[str, str]
) -> None:
    """No report is forgotten for another."""
    assert publish(image, "--junit", reports["failed"], "--junit", reports["passed"]) == 0
    assert outcomes(topic) == ["failure"]


def test_counts_are_in_the_json(
    image: str,
    topic: HandledTopic,
    reports: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the outcome that follows from them."""
    assert publish(image, "--junit", reports["failed"], "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["outcome"], said["tests"]) == ("failure", {"passed": 1, "failed": 1, "skipped": 0})
    assert outcomes(topic) == ["failure"]


@pytest.mark.parametrize("wait", [[], ["--wait"]])
def test_a_run_that_tested_nothing_is_sent_as_error_and_fails(
    image: str,
    topic: HandledTopic,
    reports: dict[str, str],
    wait: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So the job is red, the result counts for nothing, and nothing is waited for."""
    assert publish(image, "--junit", reports["skipped"], *wait) == 1
    assert outcomes(topic) == ["error"]
    assert "no test was executed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["empty"], "No test case is in"),
        (["passed", "cut"], "not well-formed XML"),
        (["passed", "absent"], "cannot be read: No such file"),
    ],
)
def test_a_bad_report_is_an_error_before_anything_is_sent(
    image: str,
    topic: HandledTopic,
    reports: dict[str, str],
    names: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line on standard error names the file and the fault."""
    files = [reports.get(name, f"/nowhere/{name}.xml") for name in names]
    assert publish(image, "--junit", *files) == 1
    error = capsys.readouterr().err
    assert complaint in error
    assert files[-1] in error
    assert error.count("\n") == 1
    assert topic.events == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "--outcome --junit is required"),
        (["--outcome", "success", "--junit", "report.xml"], "not allowed with"),
        (["--junit"], "expected at least one argument"),
        (["--outcome", "success", "--url", "http://127.0.0.1:9"], "not allowed with"),
        (["--outcome", "cancel", "--wait"], "cancel says nothing about the image"),
        (["--outcome", "success", "--wait", "--timeout", "soon"], "is not a duration"),
        (["--outcome", "success", "--timeout", "5m"], "go with --wait"),
        (["--outcome", "success", "--config", "promotion.yaml"], "go with --wait"),
    ],
)
def test_usage(
    image: str,
    topic: HandledTopic,
    options: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What contradicts itself has exit code 2, and nothing is sent."""
    assert publish(image, *options) == 2
    assert complaint in capsys.readouterr().err
    assert topic.events == []


def test_a_digest_may_be_given(image: str, topic: HandledTopic, shop: Shop) -> None:
    """What was tested, though the tag names something else by now."""
    tested = shop.stage("fast-feedback").resolve("1.0")
    shop.push(content=b"pushed over it")
    assert publish(f"{image}@{tested}", "--outcome", "success") == 0
    assert [json.loads(event.data)["digest"] for event in topic.events] == [tested]


@pytest.mark.parametrize("reference", ["{name}@{digest}", "{name}:9.9@{digest}", "{name}:9.9"])
def test_a_tag_that_does_not_exist_is_an_error_whatever_digest_is_given(
    image: str, topic: HandledTopic, shop: Shop, reference: str
) -> None:
    """So is no tag at all: it is the version."""
    name = image.removesuffix(":1.0")
    digest = shop.stage("fast-feedback").resolve("1.0")
    assert publish(reference.format(name=name, digest=digest), "--outcome", "success") == 1
    assert topic.events == []


@pytest.mark.parametrize(
    ("status", "advice"), [(403, "PROMOTION_DEV=1"), (503, "its log says why")]
)
def test_a_function_that_does_not_take_a_result_fails_the_command(
    image: str, capsys: pytest.CaptureFixture[str], status: int, advice: str
) -> None:
    """What it answered is said, and what to do: one that is deployed has only its topic."""
    with ScriptedServer(Answer(status, b"no")) as function:
        arguments = ["publish", image, "--suite", "functional", "--outcome", "success"]
        assert cli.main([*arguments, "--url", f"http://{function.host}"], {}) == 1
    complaint = capsys.readouterr().err
    assert f"answered {status}: no" in complaint
    assert advice in complaint


def test_promoted_is_0(
    image: str,
    topic: HandledTopic,
    reports: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And where it has got to is said."""
    assert publish(image, "--junit", reports["passed"], "--wait") == 0
    said = capsys.readouterr()
    assert said.err == "promotion: promoted: shop:1.0 is in extended-test\n"
    assert said.out.startswith("sent: functional success")
    assert len(topic.events) == 1


def test_denied_is_1(
    image: str,
    topic: HandledTopic,
    reports: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the reasons; of them and of the state the JSON tells too, which is alone on its way."""
    assert publish(image, "--junit", reports["failed"], "--wait", "--json") == 1
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert report["state"] == "denied"
    assert said.err == f"promotion: denied: {report['why'][0]}\n"
    assert "suite functional failed" in said.err
    assert len(topic.events) == 1


def test_still_waiting_is_3(
    image: str, topic: HandledTopic, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what is missing, when the time is over."""
    text = three_stages(shop.near.host, shop.far.host)
    shop.written = text.replace("[functional]", "[functional, nft]")
    assert publish(image, "--outcome", "success", "--wait", "--timeout", "0s") == 3
    assert "extended-test: suite nft has not reported" in capsys.readouterr().err
    assert len(topic.events) == 1


def test_a_function_that_does_not_take_the_result_is_waited_for(
    image: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing is recorded nothing is believed, and no policy has to be there."""
    monkeypatch.setattr(publisher, "topic", lambda _: RecordedTopic())
    assert publish(image, "--outcome", "success", "--wait", "--timeout", "0s") == 3
    assert "the function has not recorded the result" in capsys.readouterr().err


@pytest.mark.parametrize("judge", ["the file that is named", "what is stored beside the image"])
def test_what_can_never_be_is_an_error_before_anything_is_sent(
    topic: HandledTopic,
    shop: Shop,
    tmp_path: Path,
    judge: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From the last stage nothing can be promoted, by whatever judges."""
    digest = shop.push("prod").digest
    image = f"{shop.stage('prod').repository}:1.0"
    options = []
    if judge == "the file that is named":
        file = tmp_path / "promotion.yaml"
        file.write_text(shop.promotion_yaml, encoding="utf-8")
        options = ["--config", str(file)]
    else:
        shop.handle(shop.result(digest, "prod"))
    assert publish(image, "--outcome", "success", "--wait", *options) == 1
    assert "there is nothing to wait for" in capsys.readouterr().err
    assert topic.events == []


@pytest.mark.parametrize("stored", ["nothing", "a policy that cannot be read"])
def test_what_cannot_be_known_is_sent(
    topic: HandledTopic, shop: Shop, stored: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The function stores what judges with the first result: only then is it an error."""
    shop.push("prod")
    if stored != "nothing":
        beside = policy.repository_of(Repository(shop.far.host, "shop/prod"))
        keeper = PolicyKeeper(lambda: Policy(b"of: another version"), lambda: EARLIER)
        keeper.keep(RepositoryClient(beside, shop.transport))
    image = f"{shop.stage('prod').repository}:1.0"
    assert publish(image, "--outcome", "success", "--wait", "--timeout", "0s") == 1
    assert "there is nothing to wait for" in capsys.readouterr().err
    assert len(topic.events) == 1
