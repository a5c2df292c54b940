"""Which images of a stage wait to be in the next: found in the lists of tags, without evidence.

What is found is judged image by image, as if a result had come for each. So an evaluation costs
what the lists cost, and what is done for the few images that wait; none of what went on long ago
is looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

import msgspec

from promotion.deadline import NEVER, Deadline
from promotion.errors import PromotionError
from promotion.evidence.act import Act
from promotion.evidence.alert import Alert
from promotion.evidence.attested import Evidence
from promotion.evidence.by_hand import PromotionByHand
from promotion.evidence.kinds import Said
from promotion.evidence.record import PromotionRecord
from promotion.inventory import Inventory, Tags
from promotion.pipeline import NAMES_OF_RECORDS, Gate, Image, Pipeline, Stage
from promotion.registry import parallel
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Reference, Repository
from promotion.registry.transport import Transport

# Tags that clients set to find what belongs to a digest: referrers, signatures, evidence.
_OF_A_DIGEST = ("sha256-", "sha512-")
_AT_ONCE = 8


class Waiting(msgspec.Struct, frozen=True):
    """An image that waits in its stage.

    Attributes:
        image: Its name there, ``HOST/PATH:TAG``.
        digest: What the tag names.
    """

    image: Reference
    digest: Digest


def waiting_in(
    pipeline: Pipeline,
    stage: Stage,
    transport: Transport,
    inventory: Inventory,
    deadline: Deadline = NEVER,
) -> Iterator[Waiting]:
    """The images of a stage that wait to be in one of the next, each version once.

    Those that wait for a stage that can be asked come first; what is wrong with another is raised
    after them.

    Args:
        pipeline: What the stage is part of.
        stage: Where they wait; where nothing follows, nothing does.
        transport: Asks what a tag names, where the inventory does not tell.
        inventory: What stages hold now.
        deadline: When all of it must be done.

    Raises:
        PromotionError: A stage's images cannot be listed, as ``Inventory.images`` says.
    """
    if stage.gate is None or not stage.promotes_to:
        return
    here = inventory.images(stage.repository)
    problems: list[PromotionError] = []
    next_stages = []
    for name in stage.promotes_to:
        try:
            next_stages.append(inventory.images(pipeline.stages[name].repository))
        except PromotionError as error:
            problems.append(error)
    found = list(_found(stage.gate, stage.repository, here, next_stages))
    for first in range(0, len(found), _AT_ONCE):
        yield from _with_digests(found[first : first + _AT_ONCE], transport, deadline)
    if problems:
        raise problems[0]


def versions_waiting(gate: Gate, here: Iterable[str], there: Collection[str]) -> list[str]:
    """The versions of one image name that wait in a stage to be in another.

    These are the versions that are absent there, that the gate may ever let out by their form, and
    that are newer than all that are there. What is no semantic version is neither newer nor older,
    and waits as long as it is absent; so does every version, if the gate takes them in any order.

    Args:
        gate: The gate between the two.
        here: The tags of the name in the stage.
        there: Its tags in the next.
    """
    absent = (tag for tag in here if tag not in there and not tag.startswith(_OF_A_DIGEST))
    may_leave = [tag for tag in absent if _may_leave(gate, tag)]
    if gate.order == "any" or not may_leave:
        return may_leave
    return _not_behind(may_leave, there)


def waits_since(evidence: Evidence, image: Image) -> datetime | None:
    """Since when an image waits in its stage; None where nothing tells.

    It is in a stage since it was promoted into it. Where images come in without a record, such as
    into the first stage, nothing says when this one was pushed: there the earliest statement counts
    that is about it under this name.
    """
    stage, pipeline = image.stage, image.pipeline
    promoted = [
        each.said.decided_at
        for each in evidence.records
        if each.said.pipeline == pipeline.name
        and each.said.to_stage == stage.name
        and each.said.destination == image.reference
    ]
    if promoted:
        return min(promoted)
    if stage.entry == "record" and not pipeline.observed and pipeline.upstream_of(stage):
        return None
    place = str(image.reference.repository)
    return min(
        (
            each.basis.at
            for each in evidence.attested
            if each.said.pipeline == pipeline.name and _place(each.said) == place
        ),
        default=None,
    )


def _found(
    gate: Gate,
    stage: Repository,
    here: Mapping[str, Tags],
    next_stages: Sequence[Mapping[str, Tags]],
) -> Iterator[tuple[Reference, Digest | None]]:
    for name in sorted(here.keys() - NAMES_OF_RECORDS):
        tags = here[name]
        waiting = {
            tag
            for there in next_stages
            for tag in versions_waiting(gate, tags, there.get(name, ()))
        }
        repository = Repository(stage.host, f"{stage.path}/{name}")
        yield from ((Reference(repository, tag), tags[tag]) for tag in sorted(waiting))


def _with_digests(
    found: Sequence[tuple[Reference, Digest | None]], transport: Transport, deadline: Deadline
) -> Iterator[Waiting]:
    """What was found, with what each tag names; a tag that is gone by now does not wait."""
    asked = {
        image: parallel.start(
            partial(RepositoryClient(image.repository, transport, deadline).resolve, image.tag),
            image.repository.host,
        )
        for image, digest in found
        if digest is None
    }
    for image, listed in found:
        digest = listed or asked[image].result()
        if digest:
            yield Waiting(image, digest)


def _may_leave(gate: Gate, tag: str) -> bool:
    """Whether a version is of the form that may leave; else no judgement ever lets it go."""
    from semver import Version

    if gate.versions == "semver":
        return Version.is_valid(tag) and not Version.parse(tag).prerelease
    return not gate.versions or re.fullmatch(gate.versions, tag) is not None


def _not_behind(tags: Sequence[str], there: Collection[str]) -> list[str]:
    """Those that are newer than all that are there, and those of which that cannot be said."""
    from semver import Version

    promoted = max((Version.parse(tag) for tag in there if Version.is_valid(tag)), default=None)
    return [
        tag
        for tag in tags
        if promoted is None or not Version.is_valid(tag) or Version.parse(tag) > promoted
    ]


def _place(said: Said) -> str:
    """The repository of the image, or the stage, that is spoken of."""
    if isinstance(said, PromotionRecord | PromotionByHand):
        return str(said.source.repository)
    return said.subject if isinstance(said, Alert | Act) else said.repository
