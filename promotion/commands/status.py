"""``promotion status``: where an image is, why it did or did not move, what it waits for."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promotion.evidence.by_hand import PromotionByHand
    from promotion.evidence.store import EvidenceStore
    from promotion.pipeline import Image, Pipelines
    from promotion.policy import Policy
    from promotion.registry.reference import Digest, Reference
    from promotion.registry.transport import Transport
    from promotion.signing import Verifier
    from promotion.status import Outlook, StageStatus, Status

WAITING = 3
DENIED = 1

_EXAMPLES = """\
examples:
  promotion status europe-west2-docker.pkg.dev/acme/shop/fast-feedback/shop:1.4.2
  promotion status europe-west2-docker.pkg.dev/acme/shop/prod/shop:1.4.2      # why is it not there?
  promotion status europe-west2-docker.pkg.dev/acme/shop/extended-test/shop   # its highest version
  promotion status --json --exit-code IMAGE:TAG      # for scripts

An image that has not got to the stage in its name is looked for in the stages before.

It needs nothing but the right to read: the policy and the keys that it trusts come from what the
function has stored beside the images. Who can write to a stage could also store a policy there, so
where that matters name your own file with --config.

exit codes with --exit-code: 0 it is in every next stage, 1 denied, 3 waiting
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "status",
        help="say where an image is, and why",
        description="Says where an image is, why it did or did not move, and what it waits for.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "image",
        metavar="IMAGE",
        help="HOST/PATH/NAME, NAME:TAG or NAME@DIGEST in any stage; default: its highest version",
    )
    parser.add_argument(
        "--config", metavar="FILE", default="", help="judge by this promotion.yaml instead"
    )
    parser.add_argument(
        "--exit-code", action="store_true", help="let the exit code tell: 0, 1 denied, 3 waiting"
    )
    parser.add_argument(
        "--explain", action="store_true", help="also show what each finding rests on"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Say where an image is.

    Raises:
        PromotionError: It could not be found out.
    """
    from promotion.commands.sides import side_around
    from promotion.status import status

    transport = side_around(options.image.partition("/")[0], environment)
    reference = _reference(options.image, transport)
    pipelines, store, judged_by = policy_for(options.config, reference, transport, environment)
    image, digest = _nearest(pipelines.find(reference), transport)
    found = status(image, digest, transport, store)
    if options.json:
        print(json.dumps(_report(found, judged_by)))
    else:
        _show(found, judged_by, environment)
        if options.explain:
            _explain(found, environment)
    return _exit_code(found.at(image.stage.name)) if options.exit_code else 0


def _reference(text: str, transport: Transport) -> Reference:
    """The image that is meant, with its tag."""
    from promotion.registry.lookup import highest_version, tag_naming
    from promotion.registry.reference import Reference, Repository

    if "@" not in text and ":" not in text.rpartition("/")[2]:
        repository = Repository.parse(text)
        return Reference(repository, highest_version(repository, transport))
    reference = Reference.parse(text)
    if reference.tag or reference.digest is None:
        return reference
    version = tag_naming(reference.digest, reference.repository, transport)
    return Reference(reference.repository, version, reference.digest)


def _nearest(image: Image, transport: Transport) -> tuple[Image, Digest]:
    """The image in its stage or, if it has not got there, in the nearest one before that has it.

    Raises:
        NotFound: None of them has it.
        Retryable: A registry failed.
    """
    from promotion.errors import NotFound
    from promotion.pipeline import Image
    from promotion.registry.client import RepositoryClient

    pipeline, named = image.pipeline, image.reference
    if named.digest:
        return image, named.digest
    stages = [image.stage, *pipeline.upstream_of(image.stage)]
    for stage in stages:
        place = image.in_stage(stage)
        if digest := RepositoryClient(place.repository, transport).resolve(place.tag):
            return Image(pipeline, stage, image.name, place), digest
    looked_in = ", ".join(each.name for each in stages)
    raise NotFound(f"{named} does not exist: it is not in {looked_in}; check the name and the tag")


def policy_for(
    file: str, reference: Reference, transport: Transport, environment: Mapping[str, str]
) -> tuple[Pipelines, EvidenceStore, str]:
    """What judges: the pipelines, a store that trusts whom they trust, and where it is from.

    Raises:
        BadConfiguration: The file, or the policy that is stored, cannot be read.
        Retryable: No policy is stored beside the image, or the registry failed.
    """
    from promotion import configuration, signing
    from promotion.commands.in_reach import p2p_pipeline
    from promotion.errors import NotFound
    from promotion.evidence.store import EvidenceStore
    from promotion.registry.connections import Connections
    from promotion.signing import TrustAll, Unsigned
    from promotion.status import find_policy, pipelines_of

    if file:
        pipelines = configuration.load(Path(file))
        verifier = signing.verifier(pipelines.signing, Connections().fetch)
        return pipelines, EvidenceStore(Unsigned(), verifier), file
    try:
        found = find_policy(reference, transport)
    except NotFound as error:
        stand_in = p2p_pipeline(environment)
        if stand_in is None:
            raise NotFound(f"{error}, or the image in the stage where it is") from error
        return stand_in.pipelines, EvidenceStore(Unsigned(), TrustAll()), stand_in.name
    pipelines = pipelines_of(found)
    verifier = _stored_keys(found.policy, pipelines)
    return pipelines, EvidenceStore(Unsigned(), verifier), str(found.place)


def _stored_keys(policy: Policy, pipelines: Pipelines) -> Verifier:
    from promotion.signing import TrustAll, trusted_in

    return trusted_in(policy.keys) if pipelines.signing else TrustAll()


def _exit_code(here: StageStatus) -> int:
    states = {outlook.state for outlook in here.outlooks} | ({"unknown"} if here.problem else set())
    if "deny" in states:
        return DENIED
    return WAITING if states - {"promoted"} else 0


def _report(status: Status, judged_by: str) -> dict[str, object]:
    return {
        "pipeline": status.pipeline,
        "image": status.image,
        "version": status.version,
        "digest": status.digest,
        "policy": judged_by,
        "stages": [_stage(status, each) for each in status.stages],
        "ignored": [
            {"attestation": each.attestation, "reason": each.reason} for each in status.ignored
        ],
    }


def _stage(status: Status, stage: StageStatus) -> dict[str, object]:
    return {
        "stage": stage.stage,
        "repository": str(stage.repository),
        "here": stage.named == status.digest,
        "digest": stage.named,
        "since": stage.since.isoformat() if stage.since else None,
        "problem": stage.problem,
        "promotions": [
            {
                "to_stage": outlook.to_stage,
                "state": outlook.state,
                "by_hand": _by_hand(status.by_hand(stage.stage, outlook.to_stage)),
                "verdict": outlook.verdict.decision.name,
                "findings": [
                    {
                        "code": each.code,
                        "decision": each.decision.name,
                        "message": each.message,
                        "url": each.url,
                        "evidence": [basis.attestation for basis in each.basis],
                    }
                    for each in outlook.verdict.findings
                ],
            }
            for outlook in stage.outlooks
        ],
    }


def _by_hand(by_hand: PromotionByHand | None) -> dict[str, object] | None:
    if by_hand is None:
        return None
    return {
        "author": by_hand.author.name,
        "known_from": by_hand.author.known_from,
        "at": by_hand.decided_at.isoformat(),
    }


def _show(status: Status, judged_by: str, environment: Mapping[str, str]) -> None:
    from rich.text import Text

    from promotion.commands.screen import Screen, add_row, table_of

    table = table_of("stage", "here", "next", "state", "why")
    for stage in status.stages:
        here = _here(status.digest, stage)
        if not stage.outlooks:
            add_row(table, stage.stage, here, "", "", stage.problem)
        for outlook in stage.outlooks:
            state = Text(outlook.state, style=_COLOURS[outlook.state])
            add_row(table, stage.stage, here, outlook.to_stage, state, _why(status, stage, outlook))
    screen = Screen(environment)
    screen.say(f"{status.image}:{status.version}  {status.digest}\n")
    screen.show(table)
    for each in status.ignored:
        screen.say(f"ignored: {each.attestation}: {each.reason}")
    screen.say(f"judged by {judged_by}")


def _explain(status: Status, environment: Mapping[str, str]) -> None:
    """Every finding with the statements that it rests on, as they can be fetched and verified."""
    from promotion.commands.screen import Screen

    screen = Screen(environment)
    for stage in status.stages:
        for outlook in stage.outlooks:
            screen.say(f"\n{stage.stage} → {outlook.to_stage}: {outlook.verdict.decision.name}")
            for finding in outlook.verdict.findings:
                screen.say(f"  {finding.decision.name:<7} {finding.code}: {finding.message}")
                for basis in finding.basis:
                    place = f"{stage.repository}@{basis.attestation}"
                    screen.say(f"          {basis.at:%Y-%m-%d %H:%M:%S} UTC  {place}")


_COLOURS = {"promoted": "green", "promote": "green", "wait": "yellow", "deny": "red"}


def _here(digest: Digest, stage: StageStatus) -> str:
    if stage.named is None:
        return "?" if stage.problem else "-"
    if stage.named != digest:
        return f"no: it has {stage.named}"
    return f"since {stage.since:%Y-%m-%d %H:%M} UTC" if stage.since else "yes"


def _why(status: Status, stage: StageStatus, outlook: Outlook) -> str:
    """Who went past the gate, if somebody did, then the findings, those that decide first.

    Each finding has the link to where it arose.
    """
    past = status.by_hand(stage.stage, outlook.to_stage)
    findings = sorted(outlook.verdict.findings, key=lambda each: -each.decision)
    return "\n".join(
        [
            *([_past_the_gate(past)] if past else []),
            *(f"{each.message} ({each.url})" if each.url else each.message for each in findings),
        ]
    )


def _past_the_gate(past: PromotionByHand) -> str:
    from promotion.gates.wording import moment

    return f"{past.author.name} promoted it by hand, past the gate, at {moment(past.decided_at)}"
