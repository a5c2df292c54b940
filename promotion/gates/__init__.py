"""Decisions: whether an image leaves its stage. Pure functions of what is known, without I/O.

Nothing depends on the order in which statements arrived: a verdict follows from the set of them,
from when what each of them says was so, and from the time. What promotion.yaml can say and nothing
would ever judge is refused at start (``check_supported``), never overlooked.
"""

from promotion.gates.decision import barred, decide, evidence_overflow, forbidden
from promotion.gates.entries import first_by_hand, first_record
from promotion.gates.suites import stands
from promotion.gates.support import check_supported
from promotion.gates.versions import Standing, looks_at_versions, tag_conflict

__all__ = [
    "Standing",
    "barred",
    "check_supported",
    "decide",
    "evidence_overflow",
    "first_by_hand",
    "first_record",
    "forbidden",
    "looks_at_versions",
    "stands",
    "tag_conflict",
]
