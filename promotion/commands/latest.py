"""``promotion latest``: the highest version of an image in a stage, for whoever deploys it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promotion.commands.in_reach import InReach
    from promotion.latest import Latest
    from promotion.pipeline import Pipeline, Stage

_EXAMPLES = """\
examples:
  promotion latest shop --stage prod
  promotion latest shop --stage extended-test --pipeline shop --json | jq -r .image
  promotion latest shop --stage fast-feedback --pre-releases

A version that is revoked or held is skipped, and so are pre-releases without --pre-releases.
NAME is what stands between the stage's path and the tag: shop, in REGISTRY/prod/shop:1.4.2.

It needs the right to read the stage's repository and, where promotion.yaml has signing without
trusted, the public key: roles/cloudkms.publicKeyViewer, or the key file.

exit codes: 0 printed; 1 there is none, or it could not be found out; 2 usage
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "latest",
        help="print the highest version of an image in a stage",
        description="Prints the highest version of an image in a stage that is neither revoked nor"
        " held.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("name", metavar="NAME", help="the image's name in the stage")
    parser.add_argument("--stage", required=True, help="a stage of promotion.yaml")
    parser.add_argument("--pipeline", default="", help="its pipeline, if several have such a stage")
    parser.add_argument(
        "--config",
        metavar="FILE",
        default="",
        help="default: $PROMOTION_CONFIG, else promotion.yaml",
    )
    parser.add_argument(
        "--pre-releases", action="store_true", help="let pre-releases count, such as 1.4.2-rc.1"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one object, with digest and time"
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Print the version.

    Raises:
        PromotionError: There is none, or it could not be found out.
    """
    from promotion import signing
    from promotion.commands.in_reach import in_reach
    from promotion.commands.sides import side_around
    from promotion.evidence.store import EvidenceStore
    from promotion.latest import is_any, is_release, latest
    from promotion.registry.connections import Connections
    from promotion.signing import Unsigned

    known = in_reach(environment, options.config)
    pipelines = known.pipelines
    pipeline, stage = _stage(known, options.pipeline, options.stage)
    _check_name(options.name, stage)
    store = EvidenceStore(Unsigned(), signing.verifier(pipelines.signing, Connections().fetch))
    transport = side_around(stage.repository.host, environment)
    counts = is_any if options.pre_releases else is_release
    found = latest(options.name, pipeline, stage, transport, store, datetime.now(UTC), counts)
    print(json.dumps(_report(found)) if options.json else found.image.tag)


def _check_name(name: str, stage: Stage) -> None:
    """See that the image is named as it is in the stage, with neither registry nor tag."""
    from promotion.errors import BadReference

    alone = name.removeprefix(f"{stage.repository}/").partition("@")[0].rpartition("/")[2]
    if ":" in name or "@" in name or name.startswith(f"{stage.repository}/"):
        raise BadReference(
            f"{name} is more than a name; leave out the registry, the stage's path and the tag, as"
            f" in: promotion latest {alone.partition(':')[0]} --stage {stage.name}"
        )


def _stage(known: InReach, pipeline: str, name: str) -> tuple[Pipeline, Stage]:
    from promotion.errors import BadReference

    pipelines = known.pipelines.pipelines
    found = [
        (each, stage)
        for each in pipelines
        for stage in each.stages.values()
        if stage.name == name and pipeline in ("", each.name)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(each.name for each, _ in found)
        raise BadReference(f"Several pipelines have a stage {name!r}: name one of {names}")
    there = "; ".join(f"{each.name}: {', '.join(each.stages)}" for each in pipelines)
    raise BadReference(f"There is no such stage {name!r}; {known.name} has {there}")


def _report(found: Latest) -> dict[str, object]:
    return {
        "version": found.image.tag,
        "image": str(found.image.at(found.digest)),
        "digest": found.digest,
        "since": found.since.isoformat() if found.since else None,
        "skipped": [
            {"version": version, "findings": [finding.code for finding in findings]}
            for version, findings in found.skipped
        ],
    }
