"""The second entry point on its production server, and the command that people use."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from dev.pubsub import PubSub
from dev.services import Service, function_server
from dev.stack import ROOT, function_environment, signed, three_stages
from promotion.evidence.attested import Evidence
from promotion.evidence.store import EvidenceStore
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Repository
from promotion.registry.transport import Transport
from promotion.signing import TrustAll, Unsigned
from tests.integration.busybox import Busybox

SIGNALS = "promotion-signals"


@pytest.fixture
def control(pubsub: PubSub, registry: Service, tmp_path: Path, name: str) -> Iterator[Service]:
    """The function that takes decisions, in development, where people may name themselves."""
    text = three_stages(registry.host).replace("/shop\n", f"/{name}\n") + signed(tmp_path)
    topic = pubsub.create_topic(SIGNALS)
    pubsub.create_subscription(SIGNALS, SIGNALS)
    environment = {
        **function_environment(tmp_path, pubsub, text),
        "PROMOTION_SIGNALS_TOPIC": topic,
        "PROMOTION_DEV": "1",
    }
    with function_server(
        ROOT, environment, tmp_path, target="control", signature="http"
    ) as function:
        yield function


def promotion(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process."""
    command = [sys.executable, "-m", "promotion", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_decision_becomes_a_statement_and_has_the_image_judged(
    control: Service,
    pubsub: PubSub,
    registry: Service,
    transport: Transport,
    busybox: Busybox,
    name: str,
) -> None:
    """From a person's command to the digest in the registry, and to the signals topic."""
    place = Repository(registry.host, f"{name}/fast-feedback/shop")
    digest = busybox.push(f"{place}:1.4.2")
    done = promotion(
        *("approve", f"{place}:1.4.2", "--reason", "read the notes", "--author", "ann@example.com"),
        *("--url", control.url, "--json"),
    )
    assert done.returncode == 0, done.stderr
    (decision,) = json.loads(done.stdout)["decisions"]
    assert decision["author"] == "ann@example.com"
    repository = RepositoryClient(place, transport)
    evidence: Evidence = EvidenceStore(Unsigned(), TrustAll()).read(Digest(digest), [repository])
    (act,) = evidence.acts
    assert (act.said.author, act.said.reason) == ("ann@example.com", "read the notes")
    (message,) = pubsub.pull(SIGNALS)
    assert json.loads(message.data) == {
        "evaluate": {"image": f"{place}:1.4.2", "digest": digest},
        "statement": act.basis.statement,
    }


def test_what_is_refused_is_said_in_a_line(control: Service, http: urllib3.PoolManager) -> None:
    """By the command, with exit code 1, and by the function, with a status that tells why."""
    refused = promotion(
        *("hold", "--pipeline", "other", "--reason", "x", "--author", "ann@example.com"),
        *("--url", control.url),
    )
    assert refused.returncode == 1
    assert "There is no pipeline 'other'" in refused.stderr
    closing = {"Connection": "close"}
    assert http.request("GET", control.url, headers=closing).status == 405
    assert http.request("POST", control.url, body=b"{", headers=closing).status == 400
