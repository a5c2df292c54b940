"""Promoters as main.py puts them together, for a promotion.yaml that is given as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from promotion import configuration, signing
from promotion.evidence.store import EvidenceStore
from promotion.pipeline import Pipelines
from promotion.policy import Policy, PolicyKeeper
from promotion.promoter import Promoter
from promotion.publisher import Topic
from promotion.registry.fetch import Answer
from promotion.registry.transport import Transport


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class NoNetwork:
    """Stands for the network of a promoter that has no use for one."""

    def __call__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],  # noqa: ARG002 - the protocol's parameter
        body: bytes | None,  # noqa: ARG002
    ) -> Answer:
        """Nothing may be asked."""
        raise AssertionError(f"{method} {url} was asked")


def evidence_store(pipelines: Pipelines) -> EvidenceStore:
    """The store that reads and writes statements as promotion.yaml says."""
    return EvidenceStore(*signing.signer_and_verifier(pipelines.signing, NoNetwork()))


def promoter(
    text: str, transport: Transport, topic: Topic, now: Callable[[], datetime] = now
) -> Promoter:
    """A promoter that has just started."""
    pipelines = configuration.parse("promotion.yaml", text)
    signer, _ = signing.signer_and_verifier(pipelines.signing, NoNetwork())
    keys = signing.public_keys(pipelines.signing, signer)
    policy = PolicyKeeper(lambda: Policy(text.encode(), keys.encode()), now)
    return Promoter(pipelines, transport, topic, evidence_store(pipelines), policy, now)
