"""The real parts start, answer and end, and say what is wrong when they do not."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Timer

import pytest
import urllib3

from dev import services
from dev.pubsub import PubSub, PubSubError
from dev.services import (
    MissingPart,
    Service,
    ServiceFailed,
    docker_registry,
    function_server,
    pubsub_emulator,
)
from tests.integration.shop import wait_for_line

LAYER = b"a layer"
DIGEST = "sha256:" + hashlib.sha256(LAYER).hexdigest()
FUNCTION = """
import os

def promote(event):
    print("received", event.data)
    print("environment", sorted(os.environ))
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A function that prints what it receives."""
    file = tmp_path / "main.py"
    file.write_text(FUNCTION, encoding="utf-8")
    return file


def assert_gone(service: Service, http: urllib3.PoolManager) -> None:
    """Neither the process nor its listening socket is left."""
    with pytest.raises(ProcessLookupError):
        os.kill(service.pid, 0)
    with pytest.raises(urllib3.exceptions.HTTPError):
        http.request("GET", service.url)


def push_layer(registry: Service, http: urllib3.PoolManager) -> str:
    """Upload LAYER and return its URL."""
    upload = http.request("POST", f"{registry.url}/v2/shop/blobs/uploads/")
    stored = http.request("PUT", f"{upload.headers['Location']}&digest={DIGEST}", body=LAYER)
    assert stored.status == 201
    return f"{registry.url}/v2/shop/blobs/{DIGEST}"


def send_event(function: Service, http: urllib3.PoolManager) -> int:
    """Post a CloudEvent and return the status."""
    headers = {
        "ce-id": "1",
        "ce-source": "/test",
        "ce-specversion": "1.0",
        "ce-type": "test",
        "Content-Type": "application/json",
        "Connection": "close",
    }
    return http.request("POST", function.url, body=b'{"suite": "nft"}', headers=headers).status


def test_registry_answers_and_ends(tmp_path: Path, http: urllib3.PoolManager) -> None:
    """The registry answers inside its context and has gone after it."""
    with docker_registry(tmp_path) as registry:
        assert http.request("GET", f"{registry.url}/v2/").status == 200
        assert registry.exit_code is None
        assert f"listening on {registry.host}" in registry.output()
    assert_gone(registry, http)


def test_registry_ends_when_the_body_raises(tmp_path: Path, http: urllib3.PoolManager) -> None:
    """An error inside the context ends the process too, and passes through."""
    with pytest.raises(ZeroDivisionError), docker_registry(tmp_path) as registry:
        raise ZeroDivisionError
    assert_gone(registry, http)


def test_registry_deletes(registry: Service, http: urllib3.PoolManager) -> None:
    """The registry accepts deletes."""
    assert http.request("DELETE", push_layer(registry, http)).status == 202


def test_registry_keeps_its_data(tmp_path: Path, http: urllib3.PoolManager) -> None:
    """A registry that is killed and started again on its port still has what was pushed."""
    with docker_registry(tmp_path) as first:
        layer = push_layer(first, http)
        first.kill()
        assert_gone(first, http)
        with docker_registry(tmp_path, port=first.port) as second:
            assert second.host == first.host
            assert http.request("GET", layer).data == LAYER


def test_registry_ignores_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that configure a registry elsewhere do not reach this one."""
    monkeypatch.setenv("REGISTRY_HTTP_ADDR", "256.0.0.1:1")
    with docker_registry(tmp_path) as registry:
        assert registry.port


def test_registry_reports_an_early_exit(tmp_path: Path, registry: Service) -> None:
    """A registry that cannot listen is reported at once, with its command and output."""
    with (
        pytest.raises(ServiceFailed, match=r"(?s)serve .*address already in use"),
        docker_registry(tmp_path, port=registry.port),
    ):
        pass


def test_service_that_never_gets_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that runs without getting ready is reported when the limit has passed."""
    monkeypatch.setattr(services, "READY_LIMIT", 0.0)
    with pytest.raises(ServiceFailed, match="not ready after 0 seconds"), docker_registry(tmp_path):
        pass


def test_missing_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is not there is named together with the command that installs it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_missing(docker_registry(tmp_path), "docker-registry.*: apt-get install docker-registry")
    assert_missing(pubsub_emulator(tmp_path, "local"), "java.*: apt-get install default-jre")


def test_missing_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With Java alone, the message says how to install the emulator."""
    (tmp_path / "java").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CLOUDSDK_ROOT_DIR", raising=False)
    monkeypatch.setattr(services, "SDK_FOLDERS", ())
    assert_missing(
        pubsub_emulator(tmp_path, "local"),
        "gcloud components install pubsub-emulator beta .*google-cloud-cli-pubsub-emulator",
    )


def assert_missing(part: AbstractContextManager[Service], message: str) -> None:
    """Starting the part raises MissingPart."""
    with pytest.raises(MissingPart, match=message), part:
        pass


@pytest.mark.parametrize(("required", "outcome"), [("0", "1 skipped"), ("1", "1 error")])
def test_missing_part_in_a_test(tmp_path: Path, required: str, outcome: str) -> None:
    """A test skips when its part is missing, and fails where every part is required."""
    environment = {**os.environ, "PATH": str(tmp_path), "REQUIRE_SERVICES": required}
    folders = ["-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}"]
    command = [sys.executable, "-m", "pytest", *folders, __file__, "-k", "test_registry_deletes"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert outcome in run.stdout, run.stderr
    assert "docker-registry is not installed: apt-get install docker-registry" in run.stdout


def test_emulator_starts_again(tmp_path: Path, http: urllib3.PoolManager) -> None:
    """The emulator ends, and starts again on the same port."""
    with pubsub_emulator(tmp_path, "local") as first:
        assert http.request("GET", f"{first.url}/v1/projects/local/topics").status == 200
        first.kill()
        assert_gone(first, http)
    with pubsub_emulator(tmp_path, "local", port=first.port) as second:
        assert second.host == first.host
    assert_gone(second, http)


def test_emulator_reports_that_it_cannot_listen(tmp_path: Path, emulator: Service) -> None:
    """An emulator whose port is taken is reported, although its process would stay."""
    with (
        pytest.raises(ServiceFailed, match="could not listen on its port"),
        pubsub_emulator(tmp_path, "local", port=emulator.port),
    ):
        pass


def test_message_is_pulled_once(pubsub: PubSub) -> None:
    """A published message arrives whole, and not again once it was pulled."""
    pubsub.create_topic("results")
    pubsub.create_subscription("shop-results", "results")
    sent = pubsub.publish("results", b"\x00data", {"suite": "nft"})
    (received,) = pubsub.pull("shop-results")
    assert received.message_id == sent
    assert received.data == b"\x00data"
    assert received.attributes == {"suite": "nft"}
    assert pubsub.pull("shop-results", timeout=0) == []


def test_pull_waits_for_a_message(pubsub: PubSub) -> None:
    """A pull returns as soon as a message comes."""
    topic = pubsub.create_topic("results")
    subscription = pubsub.create_subscription("shop-results", topic)
    timer = Timer(0.3, pubsub.publish, [topic, b"late"])
    timer.start()
    assert [message.data for message in pubsub.pull(subscription, 60)] == [b"late"]
    timer.join()


def test_pull_gives_up(pubsub: PubSub) -> None:
    """A pull returns nothing after its timeout, and takes no message that comes later."""
    pubsub.create_topic("results")
    pubsub.create_subscription("shop-results", "results")
    assert pubsub.pull("shop-results", timeout=0.2) == []
    pubsub.publish("results", b"later")
    assert len(pubsub.pull("shop-results", timeout=60)) == 1


def test_message_is_dead_lettered(pubsub: PubSub) -> None:
    """A message that its endpoint never takes goes to the dead-letter topic."""
    pubsub.create_topic("results")
    pubsub.create_topic("rejected")
    pubsub.create_subscription("rejected-reader", "rejected")
    pubsub.create_subscription(
        "shop-results",
        "results",
        endpoint="http://127.0.0.1:9/",
        dead_letter_topic="rejected",
    )
    pubsub.publish("results", b"refused")
    assert [message.data for message in pubsub.pull("rejected-reader", 60)] == [b"refused"]


def test_refused_request_says_why(pubsub: PubSub) -> None:
    """The emulator's answer stands in the error."""
    with pytest.raises(PubSubError, match=r"topics/unknown:publish: 404 .*NOT_FOUND"):
        pubsub.publish("unknown", b"data")


def test_message_is_pushed(tmp_path: Path, source: Path, pubsub: PubSub) -> None:
    """A push subscription delivers to the function."""
    with function_server(source, {}, tmp_path) as function:
        pubsub.create_topic("results")
        pubsub.create_subscription("shop-results", "results", endpoint=f"{function.url}/")
        sent = pubsub.publish("results", b"data")
        wait_for_line(function, f"'messageId': '{sent}'")


def test_function_answers_and_ends(tmp_path: Path, source: Path, http: urllib3.PoolManager) -> None:
    """The function receives an event, what it prints is readable at once, and it ends."""
    with function_server(source.parent, {}, tmp_path) as function:
        assert send_event(function, http) == 200
        wait_for_line(function, "received {'suite': 'nft'}")
    assert "Shutting down: Master" in function.output()
    assert_gone(function, http)


def test_function_starts_again(tmp_path: Path, source: Path, http: urllib3.PoolManager) -> None:
    """Killing the function takes its worker along, so that it can start again on its port."""
    with function_server(source, {}, tmp_path) as first:
        assert send_event(first, http) == 200
        first.kill()
        assert_gone(first, http)
        with function_server(source, {}, tmp_path, port=first.port) as second:
            assert send_event(second, http) == 200
            assert second.host == first.host


def test_function_environment(
    tmp_path: Path, source: Path, http: urllib3.PoolManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function sees the given settings, and none that the tests were started with."""
    for name in ("PROMOTION_CONFIG", "K_SERVICE", "PUBSUB_EMULATOR_HOST", "DEBUG"):
        monkeypatch.setenv(name, "1")
    with function_server(source, {"PROMOTION_DEV": "1"}, tmp_path) as function:
        assert send_event(function, http) == 200
        wait_for_line(function, "environment")
        output = function.output()
    assert "'PROMOTION_DEV'" in output
    for name in ("PROMOTION_CONFIG", "K_SERVICE", "PUBSUB_EMULATOR_HOST", "DEBUG"):
        assert f"'{name}'" not in output


def test_function_reports_an_early_exit(tmp_path: Path, source: Path) -> None:
    """A function that cannot be imported is reported with its traceback."""
    source.write_text("raise LookupError('no configuration')", encoding="utf-8")
    with (
        pytest.raises(ServiceFailed, match=r"(?s)status 1 before.*LookupError: no configuration"),
        function_server(source, {}, tmp_path),
    ):
        pass
