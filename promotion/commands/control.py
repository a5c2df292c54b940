"""``promotion approve``, ``override``, ``hold``, ``release``, ``revoke`` and ``advance``.

Each sends a person's decision to the function's second entry point, with the identity token of who
runs it. The action ``promote`` is sent by ``advance``: the image goes on by itself, if its gates
agree, while ``promote`` is kept for copying by hand.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

_APPROVE = """\
  promotion approve REGISTRY/shop/extended-test/shop:1.4.2 --reason "release notes read"
  promotion approve REGISTRY/shop/extended-test/shop:1.4.2@sha256:… --reason "for today" \\
    --expires-in 8h
"""
_OVERRIDE = """\
  promotion override REGISTRY/shop/extended-test/shop:1.4.2 --gate soak --gate alerts \\
    --expires-in 4h --reason "INC-7: the fix cannot wait"
"""
_HOLD = """\
  promotion hold REGISTRY/shop/extended-test/shop:1.4.2 --reason "it loses orders"
  promotion hold --pipeline shop --stage prod --reason "INC-8" --expires-in 2d
"""
_RELEASE = """\
  promotion release REGISTRY/shop/extended-test/shop:1.4.2 --reason "it does not, after all"
  promotion release --pipeline shop --stage prod --reason "INC-8 is over"
"""
_REVOKE = """\
  promotion revoke REGISTRY/shop/prod/shop:1.4.2 --reason "CVE-2026-1: the fix is in 1.4.3"
  promotion revoke REGISTRY/shop/prod/shop:1.4.2 REGISTRY/shop/prod/cart:1.4.2 --json \\
    --reason "built from the wrong branch"
"""
_ADVANCE = """\
  promotion advance REGISTRY/shop/extended-test/shop:1.4.2
  promotion advance REGISTRY/shop/extended-test/shop:1.4.2 --to-stage prod --reason "INC-7"
"""
_EPILOG = """\
examples:
{examples}
Pin an image as NAME:TAG@sha256:… to be refused if the tag names something else by then.
The function is at --url or PROMOTION_CONTROL_URL. Who decides is the identity of
GOOGLE_APPLICATION_CREDENTIALS, else of `gcloud auth login`, else of this machine.

exit codes: 0 done, 1 refused or failed, 2 usage
"""


class _Command(NamedTuple):
    """A command, the action that it sends, and what can be said with it."""

    action: str
    help: str
    examples: str
    options: tuple[str, ...] = ()


GATES = (
    "suites",
    "refs",
    "versions",
    "order",
    "soak",
    "alerts",
    "approvals",
    "freeze",
    "hold",
    "auto",
)
"""What can be overridden: as ``decision.GateName`` has it, without what it takes to load that."""

_EXPIRY = ("expires_at", "expires_in")
_COMMANDS = {
    "approve": _Command("approve", "approve an image for leaving its stage", _APPROVE, _EXPIRY),
    "override": _Command(
        "override", "let an image pass gates, for a while", _OVERRIDE, ("gates", *_EXPIRY)
    ),
    "hold": _Command(
        "hold", "hold back an image, a stage or a pipeline", _HOLD, ("of_stage", *_EXPIRY)
    ),
    "release": _Command("release", "end a hold", _RELEASE, ("of_stage",)),
    "revoke": _Command("revoke", "bar an image from all further stages, for good", _REVOKE),
    "advance": _Command("promote", "send an image on, if its gates agree", _ADVANCE, ("to_stage",)),
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the six commands to the command line."""
    for name, command in _COMMANDS.items():
        parser = commands.add_parser(
            name,
            help=command.help,
            description=f"Asks the function to {command.help}.",
            epilog=_EPILOG.format(examples=command.examples),
        )
        images = "*" if "of_stage" in command.options else "+"
        parser.add_argument(
            "images", nargs=images, metavar="IMAGE:TAG", help="an image, in a stage; [@DIGEST]"
        )
        parser.add_argument(
            "--reason", required=name != "advance", default="", help="why; it is kept and shown"
        )
        for option in command.options:
            _OPTIONS[option](parser)
        _add_connection(parser)
        parser.set_defaults(command=run, action=command.action, parser=parser)


def _add_gates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gate",
        dest="gates",
        action="append",
        required=True,
        metavar="NAME",
        choices=GATES,
        help=f"a gate that it may pass, may be repeated: {', '.join(GATES)}",
    )


def _add_of_stage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pipeline", default="", help="instead of images: a whole pipeline")
    parser.add_argument("--stage", default="", help="with --pipeline: one of its stages")


def _add_expires_at(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--expires-at", default="", metavar="TIME", help="2026-01-31T12:00:00Z")


def _add_expires_in(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--expires-in", default="", metavar="TIME", help="30m, 4h, 2d")


def _add_to_stage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to-stage", default="", help="where to (default: to all that follow)")


_OPTIONS = {
    "gates": _add_gates,
    "of_stage": _add_of_stage,
    "expires_at": _add_expires_at,
    "expires_in": _add_expires_in,
    "to_stage": _add_to_stage,
}
_FIELDS = ("reason", "gates", "pipeline", "stage", *_EXPIRY, "to_stage", "author")


def _add_connection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default="", help="the function (default: $PROMOTION_CONTROL_URL)")
    tokens = parser.add_mutually_exclusive_group()
    tokens.add_argument(
        "--token-file",
        metavar="FILE",
        default="",
        help="has an identity token; - is standard input (default: $PROMOTION_CONTROL_TOKEN)",
    )
    # For scripts from before the option above: others can read it in the list of processes.
    tokens.add_argument("--token", default="", help=argparse.SUPPRESS)
    parser.add_argument("--author", default="", help="who decides: in development only")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Send a decision about each image, or about what else is named.

    Raises:
        PromotionError: There is no function to ask, or no identity to ask as; what was refused,
            while all else is done.
    """
    from promotion.commands.control_client import ControlClient
    from promotion.errors import PromotionError, Several

    if bool(options.images) == bool(getattr(options, "pipeline", "")):
        options.parser.error("name either images or --pipeline")
    done, refused = [], []
    with closing(ControlClient.around(options, environment)) as client:
        for decision in _decisions(options):
            try:
                done.append(client.send(decision))
            except PromotionError as error:
                refused.append(error)
    _show(done, options.json)
    if refused:
        raise Several(refused)


def _decisions(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    given = {name: getattr(options, name, "") for name in _FIELDS}
    common = {"action": options.action, **{name: said for name, said in given.items() if said}}
    for image in options.images:
        name, _, digest = image.partition("@")
        yield {**common, "image": name, **({"digest": digest} if digest else {})}
    if not options.images:
        yield common


def _show(done: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"decisions": done}))
        return
    for each in done:
        pinned = f"@{each['digest']}" if each.get("digest") else ""
        until = f", until {each['expires_at']}" if each.get("expires_at") else ""
        print(f"{each['action']}: {each['subject']}{pinned} by {each['author']}{until}")
