"""The command line: what it sends, what it says, and its exit codes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pytest

from dev import images
from dev.registry import EmbeddedRegistry
from promotion import cli, publisher
from promotion.errors import PublishFailed
from promotion.events import Event
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository
from promotion.registry.transport import Transport
from tests.topics import RecordedTopic
from tests.unit.scripted import Answer, ScriptedServer

TOPIC = "projects/p/topics/shop-results"
PASSED = ["--suite", "functional", "--outcome", "success"]
CLOSE = {"Connection": "close"}


@pytest.fixture
def image(near: EmbeddedRegistry, transport: Transport) -> tuple[str, str]:
    """An image that exists: its reference and its digest."""
    repository = RepositoryClient(Repository(near.host, "shop/fast-feedback/shop"), transport)
    return f"{repository.repository}:1.0", images.push_image(repository, [b"x"], tag="1.0").digest


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> dict[str, RecordedTopic]:
    """The topics that were published to, by name."""
    topics: dict[str, RecordedTopic] = {}
    monkeypatch.setattr(publisher, "topic", lambda name: topics.setdefault(name, RecordedTopic()))
    return topics


def run(*arguments: str, **environment: str) -> int:
    """Run a command; its exit code."""
    try:
        return cli.main(arguments, environment)
    except SystemExit as ended:
        return int(ended.code or 0)


def test_publish_looks_the_digest_up_and_sends_it(
    image: tuple[str, str], topics: dict[str, RecordedTopic], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is sent names the digest that the tag named when it was sent."""
    reference, digest = image
    more = ["--ref", "refs/heads/main", "--commit", "abc", "--run-url", "https://ci.example/7"]
    assert run("publish", reference, *PASSED, *more, PROMOTION_RESULTS_TOPIC=TOPIC) == 0
    (event,) = topics[TOPIC].events
    assert json.loads(event.data) == {
        "image": reference,
        "digest": digest,
        "suite": "functional",
        "outcome": "success",
        "ref": "refs/heads/main",
        "commit": "abc",
        "url": "https://ci.example/7",
        "finished_at": None,
    }
    assert f"{reference}@{digest}" in capsys.readouterr().out


def test_publish_prints_json_alone(
    image: tuple[str, str], topics: dict[str, RecordedTopic], capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json standard output is one object."""
    reference, digest = image
    assert run("publish", reference, *PASSED, "--topic", TOPIC, "--json") == 0
    sent = json.loads(capsys.readouterr().out)
    assert sent == {
        "image": reference,
        "digest": digest,
        "suite": "functional",
        "outcome": "success",
        "message_id": "1",
    }
    assert topics.keys() == {TOPIC}


def test_publish_sends_a_cloud_event_to_a_function(image: tuple[str, str]) -> None:
    """With --url the result goes over HTTP, as a binary CloudEvent."""
    with ScriptedServer(Answer(200)) as function:
        assert run("publish", image[0], *PASSED, "--url", f"http://{function.host}") == 0
        (asked,) = function.asked
        assert asked.headers["ce-specversion"] == "1.0"
        assert asked.headers["content-type"] == "application/json"


def test_a_tag_that_does_not_exist_is_an_error_before_anything_is_sent(
    image: tuple[str, str], topics: dict[str, RecordedTopic], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, one line that names the tag, and no message."""
    missing = image[0].replace(":1.0", ":9.9")
    assert run("publish", missing, *PASSED, "--topic", TOPIC) == 1
    assert f"{missing} does not exist" in capsys.readouterr().err
    assert topics == {}


def test_failures_are_one_line(
    image: tuple[str, str], free_host: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A short name, nowhere to send to, a function that is not there or refuses: exit code 1."""
    with ScriptedServer(Answer(403, b"not you")) as function:
        for arguments, complaint in [
            (["shop:1.0"], "write it out"),
            ([image[0]], "--topic"),
            ([image[0], "--url", f"http://{free_host()}"], "is the function running?"),
            ([image[0], "--url", f"http://{function.host}"], "answered 403: not you"),
        ]:
            assert run("publish", *arguments, *PASSED) == 1
            error = capsys.readouterr().err
            assert error.startswith("promotion: ")
            assert error.count("\n") == 1
            assert complaint in error


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, b"<!doctype html>\n<title>500 Internal Server Error</title>\n"),
        Answer(500, b"why? " * 2_000, CLOSE),
        Answer(500, gzip.compress(b"?" * 10_000_000), {"Content-Encoding": "gzip", **CLOSE}),
    ],
)
def test_what_a_function_says_is_told_in_a_line(
    image: tuple[str, str], answer: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its beginning, as it was sent: a page of a web server's, or any number of bytes, is cut."""
    with ScriptedServer(answer) as function:
        assert run("publish", image[0], *PASSED, "--url", f"http://{function.host}") == 1
    error = capsys.readouterr().err
    assert "answered 500: " in error
    assert error.endswith("; its log says why\n")
    assert error.count("\n") == 1
    assert len(error) < 500


def test_usage_errors_have_their_own_exit_code() -> None:
    """2 says that the command was not understood."""
    assert run() == 2
    assert run("publish", "gcr.io/a/b:1", "--suite", "x", "--outcome", "great") == 2


def test_what_cannot_be_published_is_an_error(
    image: tuple[str, str],
    topics: dict[str, RecordedTopic],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A topic that refuses is reported with its name and what to check."""

    def refuse(_: RecordedTopic, __: Event) -> str:
        raise PublishFailed(f"Could not publish to {TOPIC}")

    monkeypatch.setattr(RecordedTopic, "publish", refuse)
    assert run("publish", image[0], *PASSED, "--topic", TOPIC) == 1
    assert TOPIC in capsys.readouterr().err
    assert topics[TOPIC].events == []
