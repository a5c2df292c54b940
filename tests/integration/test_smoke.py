"""``make smoke`` on the real parts: the same code as for a deployed service, on other endpoints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from google.cloud import pubsub_v1

from dev.pubsub import PubSub
from dev.services import Service
from dev.stack import (
    DEAD_LETTERS,
    EVENTS,
    PUSH_SUBSCRIPTION,
    RESULTS,
    Stack,
    signed,
    three_stages,
    wired,
)
from operate import cli
from operate.listening import listening
from promotion.keys import PrivateKey
from tests.integration.shop import PATIENCE
from tests.unit.attesting import STRANGER

PROJECT = "smoke"
SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/{PUSH_SUBSCRIPTION}"


class Deployed:
    """The function on its production server, signing with a key file, and what is known of it.

    Attributes:
        config: Its promotion.yaml.
        values: What Terraform would put out.
    """

    def __init__(self, stack: Stack, folder: Path) -> None:
        topics = f"projects/{PROJECT}/topics"
        self.stack = stack
        self.config = folder / "promotion.yaml"
        key = PrivateKey.parse((folder / "signing.pem").read_bytes(), "the key")
        self.values: dict[str, object] = {
            "results_topics": {"shop": f"{topics}/{RESULTS}"},
            "push_subscriptions": {SUBSCRIPTION: f"{topics}/{RESULTS}"},
            "events_topic": f"{topics}/{EVENTS}",
            "dead_letter_topic": f"{topics}/{DEAD_LETTERS}",
            "dead_letter_subscription": f"projects/{PROJECT}/subscriptions/{DEAD_LETTERS}",
            "public_key": key.public.pem,
        }

    def smoke(self, folder: Path, *arguments: str, **changes: object) -> int:
        """Run the smoke test, with some of the outputs changed; its exit code."""
        outputs = folder / "outputs.json"
        values = {**self.values, **changes}
        # As a root configuration puts them out that has the module's outputs for its own.
        told = {name: {"value": value, "sensitive": False} for name, value in values.items()}
        outputs.write_text(json.dumps(told), encoding="utf-8")
        given = ["--project", "acme-ci", "--config", str(self.config), "--outputs", str(outputs)]
        return cli.main(["smoke", *given, "--timeout", "20", *arguments], {})

    def subscriptions(self) -> set[str]:
        """The subscriptions to what comes out, made by whomever."""
        return {
            subscription
            for topic in (EVENTS, DEAD_LETTERS)
            for subscription in self.stack.pubsub.subscriptions_of(topic)
        }


@pytest.fixture(scope="module")
def deployed(
    registry: Service,
    prod_registry: Service,
    emulator: Service,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployed]:
    """A deployment, shared by the tests of this file."""
    folder = tmp_path_factory.mktemp("deployed")
    stages = three_stages(registry.host, prod_registry.host, SUBSCRIPTION)
    with (
        PubSub(emulator.host, PROJECT) as pubsub,
        wired(folder, pubsub, stages + signed(folder)) as stack,
    ):
        yield Deployed(stack, folder)


@pytest.fixture(autouse=True)
def _emulated(emulator: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's clients speak to the emulator."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator.host)


def test_an_image_goes_through(
    deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Push, result, promoted event, digest, record and signature; then the registry's answers."""
    before = deployed.subscriptions()
    assert deployed.smoke(tmp_path) == 0
    printed = capsys.readouterr().out
    steps = [line.split()[1] for line in printed.splitlines() if "✓" in line]
    assert steps == ["pushed", "reported", "promoted", "digest", "record", "signature"]
    assert "/shop/extended-test/promotion-smoke:0.0." in printed
    answers = dict(
        line.split(maxsplit=1) for line in printed.partition("questions")[2].splitlines()[1:]
    )
    assert answers == {
        "bearer_token_writes": "not asked: no credential was needed",
        "mount": "yes: 201",
        "mount_without_source": "no: 202, an upload was opened instead",
        "same_digest_again": "yes",
        "immutable_tag_status": "the tag was moved: tags are NOT immutable here",
        "referrers_lag": "there is no referrers API",
    }
    assert deployed.subscriptions() == before


def test_what_listens_is_temporary(deployed: Deployed) -> None:
    """A listener's subscription is there for as long as it listens."""
    before = deployed.subscriptions()
    topic = str(deployed.values["events_topic"])
    with pubsub_v1.SubscriberClient() as client:
        with listening(client, "acme-ci", {topic: 'attributes.image = "shop"'}) as inbox:
            (added,) = deployed.subscriptions() - before
            assert added.startswith("projects/acme-ci/subscriptions/promotion-smoke-")
            deployed.stack.pubsub.publish(topic, b"heard", {"image": "shop"})
            heard = inbox.get(timeout=PATIENCE)
    assert (heard.topic, heard.data, heard.attributes) == (topic, b"heard", {"image": "shop"})
    assert deployed.subscriptions() == before


def test_a_denial_is_told_with_its_reason(
    deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A version that is behind what the next stage has is denied, and the event says so."""
    assert deployed.smoke(tmp_path) == 0
    assert deployed.smoke(tmp_path, "--version", "0.0.1") == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "make smoke: It was not promoted (dev.cdeventsx.promotion-artifact.denied"
    )


def test_a_result_that_is_put_aside(
    deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A result that comes through another subscription is a dead letter, whose reason is told."""
    pubsub = deployed.stack.pubsub
    topic = pubsub.create_topic("other-results")
    endpoint = f"{deployed.stack.function.url}/{topic}"
    pubsub.create_subscription("other-results-push", topic, endpoint=endpoint)
    before = deployed.subscriptions()
    assert deployed.smoke(tmp_path, push_subscriptions={SUBSCRIPTION: topic}) == 1
    said = capsys.readouterr().err
    assert "make smoke: A result was put aside as a dead letter: " in said
    assert "came through projects/smoke/subscriptions/other-results-push" in said
    assert deployed.subscriptions() == before


def test_another_key_does_not_vouch(
    deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A record that the deployment's key has not signed is none."""
    assert deployed.smoke(tmp_path, public_key=STRANGER.public.pem) == 1
    said = capsys.readouterr().err
    assert "has no promotion record that the deployment's key has signed" in said
    assert "no trusted key has signed it" in said


def test_without_a_key(
    deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A deployment that signs nothing does not pass."""
    assert deployed.smoke(tmp_path, public_key=None) == 1
    assert "The deployment has no public key" in capsys.readouterr().err


def test_nobody_takes_the_result(
    deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no event comes it is said where to look, and nothing temporary stays."""
    topic = deployed.stack.pubsub.create_topic("unheard-results")
    before = deployed.subscriptions()
    changes: Mapping[str, object] = {"push_subscriptions": {SUBSCRIPTION: topic}}
    assert deployed.smoke(tmp_path, "--timeout", "0.5", **changes) == 1
    assert "No promoted event came in time. `make logs` shows" in capsys.readouterr().err
    assert deployed.subscriptions() == before
