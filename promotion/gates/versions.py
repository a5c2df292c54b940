"""What follows from an image's version, and from its tags in its stage and in the next."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from promotion.pipeline import Gate, Promotion
from promotion.registry.reference import Digest
from promotion.verdict import Decision, Finding


class Standing(msgspec.Struct, frozen=True):
    """What the registry says of a version, at the source and at the destination.

    Attributes:
        source: What its tag names at the source; None: no such tag.
        destination: What its tag names at the destination; None: no such tag.
        versions: The tags that the destination has, as far as they matter.
    """

    source: Digest | None
    destination: Digest | None
    versions: Sequence[str] = ()


def looks_at_versions(gate: Gate, promotion: Promotion) -> bool:
    """Whether the verdict depends on which versions the next stage has."""
    from semver import Version

    return gate.order != "any" and Version.is_valid(promotion.version)


def judged(gate: Gate, promotion: Promotion, standing: Standing) -> Iterator[Finding]:
    """Whether the version may leave, and its tags name what they must."""
    yield from _form(gate, promotion)
    yield from _order(gate, promotion, standing)
    yield from _source(promotion, standing)
    yield from _destination(promotion, standing)


def tag_conflict(promotion: Promotion, named: Digest) -> Finding:
    """The finding that the version is taken at the destination, by other content."""
    return Finding(
        Decision.DENY,
        "tag-conflict",
        f"{promotion.destination} already names {named}, not {promotion.digest};"
        " a version is never overwritten: build a new one",
    )


def _form(gate: Gate, promotion: Promotion) -> Iterator[Finding]:
    """Whether the version is of the form that may leave."""
    from semver import Version

    version = promotion.version
    if gate.versions == "semver":
        if not Version.is_valid(version) or Version.parse(version).prerelease:
            message = f"{version} is not a release version, such as 1.4.2"
            yield Finding(Decision.DENY, "version-not-allowed", message)
    elif gate.versions and not re.fullmatch(gate.versions, version):
        message = f"{version} is not a version like {gate.versions}"
        yield Finding(Decision.DENY, "version-not-allowed", message)


def _order(gate: Gate, promotion: Promotion, standing: Standing) -> Iterator[Finding]:
    """Whether the next stage is ahead of the version; what is there already is not in question."""
    if standing.destination is not None or not looks_at_versions(gate, promotion):
        return
    from semver import Version

    own = Version.parse(promotion.version)
    others = [Version.parse(text) for text in standing.versions if Version.is_valid(text)]
    if gate.order == "minor":
        others = [each for each in others if (each.major, each.minor) == (own.major, own.minor)]
    highest = max(others, default=own)
    if highest > own:
        message = f"{promotion.to_stage} has {highest} already, which is newer than {own}"
        yield Finding(Decision.DENY, "superseded", message)


def _source(promotion: Promotion, standing: Standing) -> Iterator[Finding]:
    if standing.source is None:
        message = f"{promotion.source} is not there; push the image before its result is published"
        yield Finding(Decision.DENY, "not-at-source", message)
    elif standing.source != promotion.digest:
        yield Finding(
            Decision.DENY,
            "tag-moved",
            f"the tag moved after the test: {promotion.source} names {standing.source} now,"
            f" but {promotion.digest} was tested",
        )


def _destination(promotion: Promotion, standing: Standing) -> Iterator[Finding]:
    if standing.destination not in (None, promotion.digest):
        yield tag_conflict(promotion, standing.destination)
