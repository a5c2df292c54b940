"""``promotion evaluate``: which images are to be judged again, and to whom that is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dev.services import function_server
from dev.stack import ROOT, three_stages, with_signals
from promotion import cli, publisher
from promotion.delivery import Message
from promotion.errors import PublishFailed
from promotion.events import Event
from promotion.messages import parse
from promotion.signals import Evaluate
from tests.topics import RecordedTopic
from tests.unit.scripted import Answer, ScriptedServer
from tests.unit.shop import PUBLISHED, Shop

TOPIC = "projects/p/topics/promotion-signals"
SIGNALS = with_signals("p")
SUBSCRIPTION = SIGNALS.partition(": ")[2].strip()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a promotion.yaml."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> dict[str, RecordedTopic]:
    """The topics that were published to, by name."""
    topics: dict[str, RecordedTopic] = {}
    monkeypatch.setattr(publisher, "topic", lambda name: topics.setdefault(name, RecordedTopic()))
    return topics


@pytest.fixture
def image(shop: Shop) -> str:
    """The name of an image that waits in its first stage."""
    shop.push()
    return f"{shop.stage('fast-feedback').repository}:1.0"


@pytest.fixture
def file(shop: Shop, tmp_path: Path) -> str:
    """The function's promotion.yaml, somewhere else."""
    file = tmp_path / "deployed.yaml"
    file.write_text(three_stages(shop.near.host, shop.far.host) + SIGNALS, encoding="utf-8")
    return str(file)


def evaluate(*arguments: str, **environment: str) -> int:
    """Run the command; its exit code."""
    try:
        return cli.main(["evaluate", *arguments], environment)
    except SystemExit as ended:
        return int(ended.code or 0)


def requests(topics: dict[str, RecordedTopic]) -> list[Any]:
    """What was asked for, whichever way the topic was named."""
    return [json.loads(event.data) for event in topics[TOPIC].events] if topics else []


def test_images_are_looked_up_and_each_is_a_request(
    image: str, topics: dict[str, RecordedTopic], shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the digest that the tag names, and the function reads it as what it is."""
    other = shop.push(content=b"another", tag="1.1")
    digest, second = shop.stage("fast-feedback").resolve("1.0"), image.replace(":1.0", ":1.1")
    assert evaluate(image, second, PROMOTION_SIGNALS_TOPIC=TOPIC) == 0
    assert requests(topics) == [
        {"evaluate": {"image": image, "digest": digest}},
        {"evaluate": {"image": second, "digest": other.digest}},
    ]
    assert capsys.readouterr().out == (
        f"sent: evaluate {image}@{digest}\nsent: evaluate {second}@{other.digest}\n"
    )
    read = parse(Message(topics[TOPIC].events[0].data, {}, "1", PUBLISHED, SUBSCRIPTION))
    assert isinstance(read, Evaluate)
    assert (str(read.image), read.digest) == (image, digest)


def test_a_digest_may_be_given(image: str, topics: dict[str, RecordedTopic], shop: Shop) -> None:
    """What is meant, though the tag names something else by now."""
    meant = shop.stage("fast-feedback").resolve("1.0")
    shop.push(content=b"pushed over it")
    assert evaluate(f"{image}@{meant}", "--topic", TOPIC) == 0
    assert requests(topics) == [{"evaluate": {"image": image, "digest": meant}}]


@pytest.mark.parametrize(
    ("arguments", "asked", "said", "shown"),
    [
        (["--all"], "all", {"all": True}, "all that wait"),
        (
            ["--pipeline", "shop"],
            {"pipeline": "shop"},
            {"pipeline": "shop"},
            "all that wait of shop",
        ),
    ],
)
def test_all_that_wait_is_one_request(
    topics: dict[str, RecordedTopic],
    arguments: list[str],
    asked: object,
    said: dict[str, object],
    shown: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of every pipeline or of one; the function finds which they are."""
    assert evaluate(*arguments, "--topic", TOPIC) == 0
    assert capsys.readouterr().out == f"sent: evaluate {shown}\n"
    assert evaluate(*arguments, "--topic", TOPIC, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"requests": [{**said, "message_id": "2"}]}
    assert requests(topics) == [{"evaluate": asked}] * 2


@pytest.mark.usefixtures("topics")
def test_a_pipeline_that_nobody_has_looked_up_is_spoken_of(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a promotion.yaml at hand its name may be wrong, and nobody else would say so."""
    assert evaluate("--pipeline", "cart", "--topic", TOPIC) == 0
    said = capsys.readouterr()
    assert said.out == "sent: evaluate all that wait of cart\n"
    assert said.err.startswith("promotion: no promotion.yaml is at hand to look cart up in")
    assert said.err.count("\n") == 1
    for arguments in (["--all"], ["--pipeline", "shop", "--config", file]):
        assert evaluate(*arguments, "--topic", TOPIC) == 0
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("topic", ["promotion-signals", "projects/p/topics/", "p/topics/t"])
def test_half_a_topics_name_is_none(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It says how to write it, and asks Pub/Sub for nothing."""
    assert evaluate("--all", PROMOTION_SIGNALS_TOPIC=topic) == 1
    error = capsys.readouterr().err
    assert f"'{topic}' is not the full name of a topic; write it as projects/" in error
    assert error.count("\n") == 1


def test_json_is_alone_on_its_way(
    image: str, topics: dict[str, RecordedTopic], shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """One object, with a request for each image."""
    assert evaluate(image, "--topic", TOPIC, "--json") == 0
    digest = shop.stage("fast-feedback").resolve("1.0")
    assert json.loads(capsys.readouterr().out) == {
        "requests": [{"image": image, "digest": digest, "message_id": "1"}]
    }
    assert topics.keys() == {TOPIC}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "name images, or --pipeline, or --all"),
        (["{image}", "--all"], "name images, or --pipeline, or --all"),
        (["{image}", "--pipeline", "shop"], "name images, or --pipeline, or --all"),
        (["--pipeline", "shop", "--all"], "not allowed with"),
        (["--all", "--topic", TOPIC, "--url", "http://127.0.0.1:9"], "not allowed with"),
    ],
)
def test_usage(
    image: str,
    topics: dict[str, RecordedTopic],
    arguments: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither nothing nor two things at once: exit code 2, and nothing is sent."""
    filled = [each.format(image=image) for each in arguments]
    assert evaluate(*filled, PROMOTION_SIGNALS_TOPIC=TOPIC) == 2
    assert complaint in capsys.readouterr().err
    assert topics == {}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["{image}", "{name}:9.9"], "{name}:9.9 does not exist"),
        (["{name}:9.9@{digest}"], "{name}:9.9 does not exist"),
        (["{name}@{digest}"], "has no tag"),
        (["shop:1.0"], "write it out"),
        (["{image}", "--config", "missing.yaml"], "missing.yaml"),
        (["{host}/elsewhere/shop:1.0", "--config", "{file}"], "is in no stage"),
        (["registry.example/a/shop:1.0", "--config", "{file}"], "which no stage uses"),
        (["--pipeline", "cart", "--config", "{file}"], "no pipeline 'cart'; {file} has shop"),
    ],
)
def test_what_is_not_there_is_an_error_before_anything_is_sent(
    shop: Shop,
    image: str,
    file: str,
    topics: dict[str, RecordedTopic],
    arguments: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line on standard error; of several images none is asked for."""
    names = {
        "image": image,
        "name": image.removesuffix(":1.0"),
        "digest": shop.stage("fast-feedback").resolve("1.0"),
        "host": shop.near.host,
        "file": file,
    }
    assert evaluate(*(each.format(**names) for each in arguments), "--topic", TOPIC) == 1
    error = capsys.readouterr().err
    assert complaint.format(**names) in error
    assert error.startswith("promotion: ")
    assert error.count("\n") == 1
    assert requests(topics) == []


@pytest.mark.parametrize("named", ["with the option", "in the environment", "by its place"])
def test_the_file_in_reach_says_which_stages_there_are(
    image: str, file: str, topics: dict[str, RecordedTopic], tmp_path: Path, named: str
) -> None:
    """However it is found; what it knows is sent."""
    options = ["--config", file] if named == "with the option" else []
    environment = {"PROMOTION_CONFIG": file} if named == "in the environment" else {}
    if named == "by its place":
        Path(file).rename(tmp_path / "promotion.yaml")
    assert evaluate(image.replace("shop/fast", "fast"), *options, **environment) == 1
    environment["PROMOTION_SIGNALS_TOPIC"] = TOPIC
    assert evaluate(image, *options, **environment) == 0
    assert evaluate("--pipeline", "shop", *options, **environment) == 0
    assert len(requests(topics)) == 2


@pytest.mark.parametrize("place", [["--topic", TOPIC], ["--url", "http://127.0.0.1:9"]])
def test_a_file_without_signals_takes_none(
    shop: Shop,
    topics: dict[str, RecordedTopic],
    tmp_path: Path,
    place: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What would become a dead letter is not sent."""
    (tmp_path / "promotion.yaml").write_text(shop.promotion_yaml)
    assert evaluate("--all", *place) == 1
    assert "promotion.yaml has no signals" in capsys.readouterr().err
    assert topics == {}


def test_a_function_in_development_does_what_it_is_asked(
    shop: Shop, image: str, file: str, tmp_path: Path
) -> None:
    """A signal counts by its subscription alone, which promotion.yaml names to both."""
    digest = shop.stage("fast-feedback").resolve("1.0")
    assert digest
    shop.written = shop.promotion_yaml.replace("  shop:\n", "  shop:\n    mode: observe\n")
    shop.handle(shop.result(digest))
    environment = {"PROMOTION_CONFIG": file, "PROMOTION_DEV": "1"}
    with function_server(ROOT, environment, tmp_path) as function:
        assert shop.stage("extended-test").resolve("1.0") is None
        assert evaluate(image, "--url", function.url, "--config", file) == 0
        assert shop.stage("extended-test").resolve("1.0") == digest, function.output()


def test_nowhere_to_send_to_is_one_line(
    file: str, free_host: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """So is a function that is not there or refuses, or for which no file says how to reach it."""
    with ScriptedServer(Answer(403, b"not you")) as function:
        for arguments, complaint in [
            ([], "give --topic (or PROMOTION_SIGNALS_TOPIC), or --url"),
            (["--url", f"http://{function.host}"], "give the function's own file as --config"),
            (["--url", f"http://{free_host()}", "--config", file], "is the function running?"),
            (["--url", f"http://{function.host}", "--config", file], "PROMOTION_DEV=1"),
        ]:
            assert evaluate("--all", *arguments) == 1
            error = capsys.readouterr().err
            assert error.startswith("promotion: ")
            assert error.count("\n") == 1
            assert complaint in error


def test_what_cannot_be_published_is_an_error(
    topics: dict[str, RecordedTopic],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A topic that refuses is reported, and nothing is said to be sent."""

    def refuse(_: RecordedTopic, __: Event) -> str:
        raise PublishFailed(f"Could not publish to {TOPIC}")

    monkeypatch.setattr(RecordedTopic, "publish", refuse)
    assert evaluate("--all", "--topic", TOPIC) == 1
    said = capsys.readouterr()
    assert (said.out, TOPIC in said.err) == ("", True)
    assert topics.keys() == {TOPIC}
