"""Verdicts: what was decided about an image, with every reason for it."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum

import msgspec

from promotion.registry.reference import Digest


class Decision(IntEnum):
    """What becomes of an image at a gate; the greater decision outweighs the smaller."""

    PROMOTE = 0
    WAIT = 1
    DENY = 2


class Basis(msgspec.Struct, frozen=True, order=True):
    """A statement that a finding rests on.

    Attributes:
        statement: The digest of what is stated, the same whoever signs it.
        attestation: The digest of the manifest that holds it, signature and all.
        at: When what it states was so.
    """

    statement: Digest
    attestation: Digest
    at: datetime


class Finding(msgspec.Struct, frozen=True):
    """One reason, for machines (code) and for people (message), with a link to where it arose."""

    decision: Decision
    code: str
    message: str
    url: str = ""
    basis: tuple[Basis, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """All findings about an image at one gate; the weightiest of them decides."""

    findings: tuple[Finding, ...]

    @property
    def decision(self) -> Decision:
        """PROMOTE only if nothing speaks against it."""
        return max((finding.decision for finding in self.findings), default=Decision.PROMOTE)

    @property
    def reasons(self) -> tuple[Finding, ...]:
        """The findings that made the decision what it is."""
        return tuple(each for each in self.findings if each.decision is self.decision)

    def __str__(self) -> str:
        return f"{self.decision.name}: {'; '.join(finding.message for finding in self.findings)}"


def basis_of(findings: tuple[Finding, ...]) -> list[Basis]:
    """The statements that findings rest on, each once, in an order of their own."""
    return sorted({each for finding in findings for each in finding.basis})
