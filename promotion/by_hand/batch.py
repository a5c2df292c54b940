"""Several images promoted by hand as one: all are copied, then all recorded, and only then tagged.

So whatever fails before the last step fails for all of them, and no tag tells of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from promotion.by_hand.errand import Found, Terms
from promotion.errors import PromotionError, Retryable
from promotion.registry.reference import Digest
from promotion.registry.report import Copied
from promotion.verdict import Decision

Tell = Callable[[str], None]
"""Says in a line what is being done."""

BringOver = Callable[[Found], Copied]
"""Has an image at its destination by its digest, with all that belongs to it."""


@dataclass
class Item:
    """One of the images, and what has been done about it so far.

    Attributes:
        copied: What travelled.
        statement: The digest of its record, if it got one.
        tagged: Whether its tag names it at the destination.
        event: The id of its event, if that was asked for.
    """

    found: Found
    terms: Terms
    copied: Copied | None = None
    statement: Digest | None = None
    tagged: bool = False
    event: str = ""

    @property
    def name(self) -> str:
        """What people call it: NAME:TAG, as far as both sides have it in common."""
        return self.found.errand.name

    @property
    def may_go(self) -> bool:
        """Whether its terms let it be promoted, as far as is known by now."""
        return self.terms.verdict.decision is Decision.PROMOTE


def all_may_go(items: Sequence[Item]) -> bool:
    """Whether none of them is refused."""
    return all(item.may_go for item in items)


def copy_all(items: Sequence[Item], bring_over: BringOver, tell: Tell, doing: str) -> None:
    """Have all of them at their destinations, without a tag.

    Args:
        items: What to copy.
        bring_over: Copies one, or finds out what that would take.
        tell: Is told of each before it is done.
        doing: What to call it.

    Raises:
        PromotionError: One could not be copied.
    """
    for item in items:
        tell(f"{doing} {item.name}: {item.found.contents}")
        item.copied = bring_over(item.found)


def record_all(items: Sequence[Item], tell: Tell) -> None:
    """Have all of them on record where they are.

    Raises:
        PromotionError: One could not be recorded.
    """
    for item in items:
        item.statement = item.terms.record()
        if item.statement:
            tell(f"recorded {item.name}: {item.statement}")


def tag_all(items: Sequence[Item], tell: Tell) -> None:
    """Set their tags; one that is refused at the last moment keeps those after it from theirs.

    Raises:
        PromotionError: One could not be tagged; the text says which have been by then.
    """
    for item in items:
        if not item.found.present:
            tell(f"tagging {item.name}")
        try:
            item.tagged = item.terms.tag().decision is Decision.PROMOTE
        except PromotionError as error:
            raise _told_of(items, error) from error
        if not item.tagged:
            return


def _told_of(items: Sequence[Item], error: PromotionError) -> PromotionError:
    tagged = [item.name for item in items if item.tagged]
    if not tagged:
        return error
    return Retryable(f"{error}; tagged by then: {', '.join(tagged)}; run the command again")
