"""Sends an image through a deployed service, and checks what comes out against the public key.

    push ── results ──▶ the service ──▶ promoted event ── digest · record · signature

What it leaves behind are the image and its evidence, a few kilobytes in each stage: where tags are
immutable, nobody can remove them.
"""

from __future__ import annotations

import json
import os
import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dev import images
from operate.deployment import Deployment
from operate.errand import NAME, Errand
from operate.errors import OperationFailed
from operate.listening import Heard, Inbox
from promotion import events, messages
from promotion.events import Event
from promotion.evidence.attested import Attested
from promotion.evidence.record import PromotionRecord
from promotion.evidence.store import EvidenceStore
from promotion.keys import PublicKey
from promotion.pipeline import Suite
from promotion.publisher import topic
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Reference
from promotion.registry.transport import Transport
from promotion.signing import TrustedKeys, Unsigned

_MARK = "smoke"


@dataclass(frozen=True)
class Passed:
    """A step that went as it should.

    Attributes:
        seconds: How long it took.
    """

    step: str
    found: str
    seconds: float


def filters(deployment: Deployment, errand: Errand) -> dict[str, str]:
    """The topics to listen to, each with the filter for what is about this errand."""
    return {
        deployment.events_topic: (
            f'attributes.image = "{NAME}" AND attributes.version = "{errand.version}"'
        ),
        deployment.dead_letter_topic: f'attributes.{_MARK} = "{errand.version}"',
    }


class Smoke:
    """The smoke test of one deployment.

    Args:
        transport: Requests to registries, as somebody who may write to the first stage and read
            those that follow.
        inbox: What is published on the topics of ``filters``.
        tell: Gets each step when it is passed.
    """

    def __init__(
        self,
        deployment: Deployment,
        errand: Errand,
        transport: Transport,
        inbox: Inbox,
        tell: Callable[[Passed], None],
    ) -> None:
        if not deployment.public_key:
            raise OperationFailed(
                "The deployment has no public key: without `signing` in promotion.yaml whoever can"
                " write to a stage's repository can open its gate"
            )
        self._deployment = deployment
        self._errand = errand
        self._transport = transport
        self._inbox = inbox
        self._tell = tell
        self._key = PublicKey.parse(deployment.public_key.encode(), "The output public_key")
        self._store = EvidenceStore(Unsigned(), TrustedKeys([self._key]))
        self._began = time.monotonic()

    def run(self, patience: float) -> None:
        """Push, report, wait for as many seconds, and verify.

        Raises:
            PromotionError: A step failed; the text says which, and what to look at.
        """
        digest = self._push()
        self._publish(digest)
        promoted = self._await(digest, time.monotonic() + patience)
        for destination in self._errand.destinations:
            self._verify(digest, destination, promoted[destination])

    def _push(self) -> Digest:
        source = self._errand.source
        content = images.layer({"smoke": os.urandom(16)})
        image = images.push_image(self._client(source), [content], source.tag)
        self._passed("pushed", f"{source}@{image.digest}")
        return image.digest

    def _publish(self, digest: Digest) -> None:
        errand = self._errand
        for suite in errand.suites:
            report = messages.report(
                messages.PlainResult(
                    image=str(errand.source),
                    digest=digest,
                    suite=suite.name,
                    outcome="success",
                    ref=errand.ref,
                )
            )
            event = Event(report.data, {**report.attributes, _MARK: errand.version})
            name = self._topic_for(suite)
            topic(name).publish(event)
            self._passed("reported", f"{suite.name} to {name}")

    def _topic_for(self, suite: Suite) -> str:
        """The topic whose subscription brings what counts as this suite's results."""
        deployment = self._deployment
        pipelines_own = deployment.results_topics.get(self._errand.pipeline)
        name = deployment.sources.get(suite.via) if suite.via else pipelines_own
        if name:
            return name
        raise OperationFailed(
            f"No topic of the deployment brings {suite.via or self._errand.pipeline} its results:"
            " CONFIG=… must be the promotion.yaml that is deployed"
        )

    def _await(self, digest: Digest, until: float) -> dict[Reference, Heard]:
        """The promoted event of each destination."""
        expected = {str(each.at(digest)): each for each in self._errand.destinations}
        promoted: dict[Reference, Heard] = {}
        while len(promoted) < len(expected):
            heard = self._next(until)
            if heard is None:
                continue
            destination = expected.get(_content(heard)["destination"])
            if destination is None:
                raise OperationFailed(f"Another image was promoted than was pushed: {heard.data!r}")
            promoted[destination] = heard
            self._passed("promoted", f"event {heard.attributes['ce-id']} to {destination}")
        return promoted

    def _next(self, until: float) -> Heard | None:
        """The next promoted event; None if what came is about something else."""
        try:
            heard = self._inbox.get(timeout=max(until - time.monotonic(), 0))
        except queue.Empty:
            raise OperationFailed(
                "No promoted event came in time. `make logs` shows what the function says, and"
                f" `promotion status {self._errand.source}` what is missing; nothing in either"
                " means that the message never came: look at the push subscription"
            ) from None
        if heard.topic == self._deployment.dead_letter_topic:
            self._check_letter(heard.attributes)
            return None
        if (heard.attributes.get("image"), heard.attributes.get("version")) != (
            NAME,
            self._errand.version,
        ):
            return None
        if heard.attributes["ce-type"] != events.PROMOTED:
            reasons = "; ".join(each["message"] for each in _content(heard)["findings"])
            raise OperationFailed(f"It was not promoted ({heard.attributes['ce-type']}): {reasons}")
        return heard

    def _check_letter(self, attributes: Mapping[str, str]) -> None:
        if attributes.get(_MARK) == self._errand.version:
            reason = attributes.get("promotion-dlq-reason", "the function never acknowledged it")
            raise OperationFailed(f"A result was put aside as a dead letter: {reason}")

    def _verify(self, digest: Digest, destination: Reference, event: Heard) -> None:
        client = self._client(destination)
        named = client.resolve(destination.tag)
        if named != digest:
            raise OperationFailed(f"{destination} names {named}, and {digest} was pushed")
        self._passed("digest", f"{destination} names what was pushed")
        record = self._record(digest, destination, client)
        if record.said.event_id != event.attributes["ce-id"]:
            raise OperationFailed(f"The record on {destination} is about another event")
        inputs = len(record.said.evidence)
        self._passed("record", f"{record.basis.attestation}, which rests on {inputs} statements")
        self._passed("signature", f"by the deployment's key, {self._key.key_id}")

    def _record(
        self, digest: Digest, destination: Reference, client: RepositoryClient
    ) -> Attested[PromotionRecord]:
        evidence = self._store.read(digest, [client])
        for record in evidence.records:
            if record.said.destination == destination:
                return record
        others = "; ".join(each.reason for each in evidence.ignored) or "nothing is attached"
        raise OperationFailed(
            f"{destination} has no promotion record that the deployment's key has signed: {others}"
        )

    def _client(self, image: Reference) -> RepositoryClient:
        scope = f"repository:{image.repository.path}:pull"
        if image == self._errand.source:
            scope += ",push"
        return RepositoryClient(image.repository, self._transport, scopes=(scope,))

    def _passed(self, step: str, found: str) -> None:
        now = time.monotonic()
        self._tell(Passed(step, found, now - self._began))
        self._began = now


def _content(heard: Heard) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(heard.data)
    return content
