"""What is known of an image: the statements that count, and what does not count, and why."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from promotion.evidence.record import PromotionRecord
from promotion.evidence.suite_run import SuiteRun
from promotion.registry.manifest import Blob, Manifest
from promotion.registry.reference import Digest
from promotion.verdict import Basis

MOST = 200
"""The statements of one digest that are read in one repository; with more there is no verdict."""

_LONGEST_REASON = 400

Said = TypeVar("Said", SuiteRun, PromotionRecord)


class Attested(msgspec.Struct, Generic[Said], frozen=True):
    """What a statement says, and where it stands.

    Attributes:
        said: Its content.
        basis: What to name when a finding rests on it.
        manifest: The manifest that attaches it.
        bundle: The blob of that manifest.
    """

    said: Said
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


Read = Attested[SuiteRun] | Attested[PromotionRecord] | Ignored


class Evidence(msgspec.Struct, frozen=True):
    """All that is stated about an image digest.

    Attributes:
        overflow: Whether a repository holds more statements than are read.
    """

    runs: tuple[Attested[SuiteRun], ...] = ()
    records: tuple[Attested[PromotionRecord], ...] = ()
    ignored: tuple[Ignored, ...] = ()
    overflow: bool = False

    @property
    def attested(self) -> tuple[Attested[SuiteRun] | Attested[PromotionRecord], ...]:
        """All that counts."""
        return (*self.runs, *self.records)

    def holds(self, payload: Digest) -> bool:
        """Whether the statement with this digest is among what counts."""
        return any(each.basis.statement == payload for each in self.attested)
