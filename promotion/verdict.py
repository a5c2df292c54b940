"""Verdicts: what was decided about an image, with every reason for it."""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Decision(IntEnum):
    """What becomes of an image at a gate; the greater decision outweighs the smaller."""

    PROMOTE = 0
    WAIT = 1
    DENY = 2


class Finding(msgspec.Struct, frozen=True):
    """One reason, for machines (code) and for people (message), with a link to where it arose."""

    decision: Decision
    code: str
    message: str
    url: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """All findings about an image at one gate; the weightiest of them decides."""

    findings: tuple[Finding, ...]

    @property
    def decision(self) -> Decision:
        """PROMOTE only if nothing speaks against it."""
        return max((finding.decision for finding in self.findings), default=Decision.PROMOTE)

    def __str__(self) -> str:
        return f"{self.decision.name}: {'; '.join(finding.message for finding in self.findings)}"
