"""``promotion copy``: any image, from any registry to any other, with all that belongs to it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from promotion.registry.client import RepositoryClient
    from promotion.registry.manifest import Manifest
    from promotion.registry.reference import Reference
    from promotion.registry.report import Copied

_EXAMPLES = """\
examples:
  promotion copy europe-docker.pkg.dev/acme/dev/shop:1.4.2 \\
    europe-docker.pkg.dev/acme/prod/shop:1.4.2
  promotion copy --dry-run ghcr.io/acme/shop@sha256:… 127.0.0.1:5000/shop:1.4.2

credentials: SOURCE_AUTH_OVERRIDE and DEST_AUTH_OVERRIDE (Google credential files),
SOURCE_ACCESS_TOKEN and DEST_ACCESS_TOKEN, the identity of the environment for Google's
registries, then Docker's config.json with its credential helpers.

exit codes: 0 copied, or there already; 1 refused or failed; 2 usage
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "copy",
        help="copy an image between registries",
        description="Copies an image by digest, with its signatures, SBOMs and attestations.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("source", metavar="SRC", help="HOST/PATH:TAG or HOST/PATH@DIGEST")
    parser.add_argument("destination", metavar="DST", help="HOST/PATH:TAG, or HOST/PATH@DIGEST")
    parser.add_argument(
        "--no-referrers", action="store_true", help="leave behind what refers to the image"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be copied, and write nothing"
    )
    parser.add_argument("--json", action="store_true", help="print a report of each blob as JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Copy an image.

    Raises:
        PromotionError: It could not be done.
    """
    from promotion.commands.sides import two_sides
    from promotion.deadline import current
    from promotion.registry.client import between
    from promotion.registry.reference import Reference

    source = Reference.parse(options.source)
    destination = Reference.parse(options.destination)
    _check_digest(source, destination)
    reader, writer = two_sides(environment)
    started = time.monotonic()
    sides = between(source.repository, destination.repository, reader, writer, current())
    done = _copy(options, source, destination, *sides)
    seconds = time.monotonic() - started
    arrived = destination.at(done.image.digest)
    if options.json:
        print(json.dumps(_report(source, arrived, done, seconds, options.dry_run)))
    else:
        print(_summary(source, arrived, done, seconds, options.dry_run))


class Done(NamedTuple):
    """What the command did.

    Attributes:
        present: Whether the image was there, so that only what is attached to it could be missing.
    """

    image: Manifest
    present: bool
    copied: Copied


def _check_digest(source: Reference, destination: Reference) -> None:
    from promotion.errors import BadReference

    if destination.digest and destination.digest != source.digest:
        raise BadReference(
            f"{destination} names a digest that {source} does not: a copy keeps the digest;"
            " name the destination by a tag"
        )


def _copy(
    options: argparse.Namespace,
    source: Reference,
    destination: Reference,
    reader: RepositoryClient,
    writer: RepositoryClient,
) -> Done:
    from promotion.commands.transfer import check_tag, for_real, rehearsed, transfer
    from promotion.registry.referrers import AllAttachments, NoAttachments

    target, bring = rehearsed(writer) if options.dry_run else for_real(writer)
    with NoAttachments() if options.no_referrers else AllAttachments(reader) as attachments:
        if source.digest:
            attachments.look_up(source.digest)
        image, present = _compare(source, destination, reader, writer)
        if not present:
            check_tag(image, source, destination)
        copied = transfer(image, present, reader, target, attachments, bring)
        if not present:
            target.put_manifest(image, destination.tag)
    return Done(image, present, copied)


def _compare(
    source: Reference, destination: Reference, reader: RepositoryClient, writer: RepositoryClient
) -> tuple[Manifest, bool]:
    """The image, and whether the destination has it: both sides are asked at once."""
    from concurrent.futures import wait

    from promotion.registry import parallel

    resolve = partial(writer.resolve, destination.tag or str(destination.digest))
    there = parallel.start(resolve, writer.repository.host)
    try:
        image = reader.manifest(source.digest or source.tag)
    finally:
        wait([there])
    return image, there.result() == image.digest


def _summary(
    source: Reference, arrived: Reference, done: Done, seconds: float, dry_run: bool
) -> str:
    from promotion.commands.transfer import attached, summary

    copied = done.copied
    lines = [f"{'would copy' if dry_run else 'copied'} {source} to {arrived}"]
    if done.present:
        lines = [f"{arrived} is there already"]
    lines.append(
        f"  {summary(copied)}; {copied.bytes_copied:,} bytes sent; {seconds:.2f} s"
        f"{''.join(f'; {also}' for also in attached(copied))}"
    )
    lines += [f"  kept: {tag} has other content at the destination" for tag in copied.kept]
    if dry_run:
        lines += [f"  {blob.way:<8} {blob.digest} {blob.size:,} bytes" for blob in copied.blobs]
    return "\n".join(lines)


def _report(
    source: Reference, arrived: Reference, done: Done, seconds: float, dry_run: bool
) -> dict[str, object]:
    from promotion.commands.transfer import blob_reports

    copied = done.copied
    return {
        "source": str(source),
        "destination": str(arrived),
        "digest": arrived.digest,
        "dry_run": dry_run,
        "seconds": round(seconds, 3),
        "bytes": copied.bytes_copied,
        "present": done.present,
        "manifests": copied.manifests + (0 if done.present else 1),
        "blobs": blob_reports(copied),
        "referrers": list(copied.referrers),
        "tags": list(copied.tags),
        "kept": list(copied.kept),
    }
