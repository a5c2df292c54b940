"""What ``promotion promote`` reports of the images when it ends: for people, and for machines."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence

from promotion.by_hand.batch import Item, Tell
from promotion.commands.transfer import attached, blob_reports, summary
from promotion.readable import readable


def report(items: Sequence[Item], options: Namespace, tell: Tell) -> int:
    """Say what has become of the images; the exit code."""
    refused = [item for item in items if not item.may_go]
    if options.json:
        print(json.dumps(_as_json(items, options)))
    for item in items:
        _tell_of(item, options, bool(refused), tell)
    for item in refused:
        reasons = "; ".join(each.message for each in item.terms.verdict.reasons)
        decision = item.terms.verdict.decision.name
        print(
            readable(f"promotion: {item.name} is not promoted: {decision}: {reasons}"),
            file=sys.stderr,
        )
    return 1 if refused else 0


def _tell_of(item: Item, options: Namespace, any_refused: bool, tell: Tell) -> None:
    for each in item.terms.verdict.findings:
        tell(f"  {item.name}  {each.decision.name:<7} {each.code}: {each.message}")
    if any_refused and not item.tagged:
        return
    arrived, image = item.found.arrived, item.found.image
    if item.copied:
        also = "".join(f"; {each}" for each in attached(item.copied))
        tell(
            f"  {item.name}  {summary(item.copied)}; {item.copied.bytes_copied:,} bytes sent{also}"
        )
    if item.found.present:
        tell(f"{arrived} is there already")
    elif options.dry_run:
        tell(f"would promote {item.name}: {image.digest} would be at {item.found.errand.target}")
    else:
        tell(f"promoted {item.name}: {image.digest} is now at {item.found.errand.target}")


def _as_json(items: Sequence[Item], options: Namespace) -> dict[str, object]:
    return {
        "promoted": all(item.tagged for item in items),
        "dry_run": options.dry_run,
        "gated": options.gate,
        "images": [_image(item) for item in items],
    }


def _image(item: Item) -> dict[str, object]:
    found, verdict = item.found, item.terms.verdict
    return {
        "image": item.name,
        "source": str(found.errand.origin.at(found.image.digest)),
        "destination": str(found.arrived),
        "digest": found.image.digest,
        "present": found.present,
        "tagged": item.tagged,
        "bytes": item.copied.bytes_copied if item.copied else 0,
        "blobs": blob_reports(item.copied) if item.copied else [],
        "referrers": list(item.copied.referrers) if item.copied else [],
        "record": item.statement,
        "event": item.event or None,
        "verdict": verdict.decision.name,
        "findings": [
            {
                "code": each.code,
                "decision": each.decision.name,
                "message": each.message,
                "url": each.url,
            }
            for each in verdict.findings
        ],
    }
