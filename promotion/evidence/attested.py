"""What is known of an image: the statements that count, and what does not count, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

import msgspec

from promotion.evidence.act import Act
from promotion.evidence.alert import Alert
from promotion.evidence.by_hand import PromotionByHand
from promotion.evidence.deployment import Deployment
from promotion.evidence.kinds import Said
from promotion.evidence.record import PromotionRecord
from promotion.evidence.suite_run import SuiteRun
from promotion.registry.manifest import Blob, Manifest
from promotion.registry.reference import Digest
from promotion.verdict import Basis

MOST = 200
"""The statements of one digest that are read in one repository; with more there is no verdict."""

_LONGEST_REASON = 400

Word = TypeVar("Word", bound=Said, covariant=True)


class Attested(msgspec.Struct, Generic[Word], frozen=True):
    """What a statement says, and where it stands.

    Attributes:
        said: Its content.
        basis: What to name when a finding rests on it.
        manifest: The manifest that attaches it.
        bundle: The blob of that manifest.
    """

    said: Word
    basis: Basis
    manifest: Manifest
    bundle: Blob


class Ignored(msgspec.Struct, frozen=True):
    """Something attached that does not count, and why."""

    attestation: Digest
    reason: str

    @classmethod
    def because(cls, attestation: Digest, reason: object) -> Ignored:
        """Ignore it for a reason, in words that can be shown and kept.

        They may quote what is attached, which anybody may have written: neither a terminal's
        control sequences nor pages of text get through.
        """
        text = str(reason)
        cut = text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"
        return cls(attestation, "".join(each if each.isprintable() else "\ufffd" for each in cut))


Read = Attested[Said] | Ignored


class Evidence(msgspec.Struct, frozen=True):
    """All that is stated about an image digest, and about the stage that it is in.

    Attributes:
        runs: What suites found.
        records: That a gate let it be promoted.
        ignored: What does not count.
        overflow: Whether there are more statements than are read.
        deployments: Since when it runs.
        alerts: What was said of incidents.
        acts: What people have decided.
        by_hand: That it was promoted past its gate; no gate looks at these.
    """

    runs: tuple[Attested[SuiteRun], ...] = ()
    records: tuple[Attested[PromotionRecord], ...] = ()
    ignored: tuple[Ignored, ...] = ()
    overflow: bool = False
    deployments: tuple[Attested[Deployment], ...] = ()
    alerts: tuple[Attested[Alert], ...] = ()
    acts: tuple[Attested[Act], ...] = ()
    by_hand: tuple[Attested[PromotionByHand], ...] = ()

    @property
    def attested(self) -> tuple[Attested[Said], ...]:
        """All that counts."""
        return (
            *self.runs,
            *self.records,
            *self.deployments,
            *self.alerts,
            *self.acts,
            *self.by_hand,
        )

    @property
    def promotions(self) -> tuple[Attested[PromotionRecord | PromotionByHand], ...]:
        """How the image came into its stages, whether or not a gate let it."""
        return (*self.records, *self.by_hand)

    @property
    def statements(self) -> frozenset[Digest]:
        """The digests of all statements that count."""
        return frozenset(each.basis.statement for each in self.attested)

    def holds(self, statement: Digest) -> bool:
        """Whether the statement with this digest counts."""
        return statement in self.statements

    def find(self, statement: Digest) -> Attested[Said] | None:
        """The statement with this digest, if it counts."""
        return next((each for each in self.attested if each.basis.statement == statement), None)

    def beside(self, other: Evidence) -> Evidence:
        """This and what is known from elsewhere, as one."""
        return collected(
            (*self.attested, *self.ignored, *other.attested, *other.ignored),
            self.overflow or other.overflow,
        )


def collected(found: Iterable[Read], overflow: bool = False) -> Evidence:
    """Evidence of what was found: each statement once, in an order of its own.

    Of several attestations of one statement the one with the smallest digest stands for it.
    """
    kept: dict[tuple[bool, Digest], Read] = {}
    for each in found:
        kept[_key(each)] = min(kept.get(_key(each), each), each, key=_attestation)
    ordered = [kept[key] for key in sorted(kept)]
    counted = [each for each in ordered if isinstance(each, Attested)]
    return Evidence(
        runs=_saying(SuiteRun, counted),
        records=_saying(PromotionRecord, counted),
        ignored=tuple(each for each in ordered if isinstance(each, Ignored)),
        overflow=overflow,
        deployments=_saying(Deployment, counted),
        alerts=_saying(Alert, counted),
        acts=_saying(Act, counted),
        by_hand=_saying(PromotionByHand, counted),
    )


_Kind = TypeVar("_Kind", bound=Said)


def _saying(kind: type[_Kind], attested: Sequence[Attested[Said]]) -> tuple[Attested[_Kind], ...]:
    return tuple(each for each in attested if isinstance(each.said, kind))  # type: ignore[misc]


def _key(read: Read) -> tuple[bool, Digest]:
    """What is the same: attestations of one statement; what is ignored stands for itself.

    It never stands for a statement, though somebody may keep the bytes of one as a manifest.
    """
    if isinstance(read, Ignored):
        return False, read.attestation
    return True, read.basis.statement


def _attestation(read: Read) -> Digest:
    return read.attestation if isinstance(read, Ignored) else read.basis.attestation
