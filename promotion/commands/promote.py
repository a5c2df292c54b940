"""``promotion promote``: images from one stage to the next, by digest, by hand.

All of them are copied before any is tagged, so that one failure leaves no stage with half of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from promotion.readable import readable

if TYPE_CHECKING:
    from promotion.by_hand.batch import Item, Tell
    from promotion.by_hand.errand import Errand, Found, Setting
    from promotion.commands.transfer import Writing
    from promotion.registry.report import Copied
    from promotion.registry.transport import Transport

_EXAMPLES = """\
examples:
  promotion promote shop:1.4.2 --source-registry europe-west2-docker.pkg.dev/acme-dev/tenant/shop \\
    --source-stage fast-feedback --dest-stage extended-test \\
    --dest-registry europe-west2-docker.pkg.dev/acme-dev/tenant/shop
  promotion promote shop:1.4.2 shop-db:1.4.2     # with the rest in SOURCE_REGISTRY, …
  promotion promote --gate --event shop:1.4.2    # only if promotion.yaml agrees

An image is REGISTRY/STAGE/NAME:TAG on either side. All images are copied before any is tagged; a
tag that names another digest is never overwritten. Where a promotion.yaml (PROMOTION_CONFIG, or
the one in this folder) has both stages, holds and revocations are obeyed, and it is put on record
who promoted it past the gate. Credentials are those of `promotion copy`.

exit codes: 0 promoted, or there already; 1 refused or failed, standard error says why; 2 usage
"""


class _Flag(NamedTuple):
    """A flag, and the environment variables that give its default, the first that is set."""

    name: str
    variables: tuple[str, ...]
    help: str
    required: bool = True

    @property
    def wanted(self) -> str:
        """What to do where it is missing."""
        return f"give {self.name}, or set {' or '.join(self.variables)}"


_FLAGS = (
    _Flag("--source-registry", ("SOURCE_REGISTRY",), "the registry, with its path prefix"),
    _Flag("--source-stage", ("SOURCE_STAGE",), "the stage's path there"),
    _Flag(
        "--source-auth-override",
        ("SOURCE_AUTH_OVERRIDE",),
        "a Google credential file to read with",
        required=False,
    ),
    _Flag("--dest-registry", ("DEST_REGISTRY", "REGISTRY"), "the registry to promote to"),
    _Flag("--dest-stage", ("DEST_STAGE",), "the stage's path there"),
    _Flag(
        "--dest-auth-override",
        ("DEST_AUTH_OVERRIDE",),
        "a Google credential file to write with",
        required=False,
    ),
)


_SIDES = ("SOURCE", "DEST")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "promote",
        help="promote images by hand",
        description="Promotes images to the next stage: by digest, with all that belongs to them.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE:TAG", help="NAME:TAG[@DIGEST]")
    for flag in _FLAGS:
        default = f"default: ${', else $'.join(flag.variables)}"
        metavar = "FILE" if not flag.required else flag.name.rpartition("-")[2].upper()
        parser.add_argument(flag.name, default="", metavar=metavar, help=f"{flag.help} ({default})")
    parser.add_argument(
        "--gate", action="store_true", help="promote only what promotion.yaml's gate lets go"
    )
    parser.add_argument(
        "--event",
        action="store_true",
        help="with --gate: publish the promoted event, to $PROMOTION_EVENTS_TOPIC",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and write nothing"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(command=run, parser=parser)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Promote images.

    Raises:
        PromotionError: It could not be done; nothing is tagged then, unless the text says so.
    """
    from promotion.by_hand.batch import Item
    from promotion.commands.sides import two_sides_at

    if options.event and not options.gate:
        options.parser.error("--event needs --gate: without it there is nothing to tell of")
    given = _given(options, environment)
    tell = _silent if options.json else _say
    reader, writer = two_sides_at(_host(given, "SOURCE"), _host(given, "DEST"), given)
    setting = _gated(options.event, given, writer) if options.gate else _ungated(given)
    errands = _errands(options.images, given, reader, writer)
    tell(f"validating: reading {_stage(given, 'SOURCE')}, writing to {_stage(given, 'DEST')}")
    found = _found(errands, tell)
    tell(setting.said)
    items = [Item(each, setting.terms_of(each)) for each in found]
    _carry_out(items, options, tell)
    return _report(items, options, tell)


def _carry_out(items: Sequence[Item], options: argparse.Namespace, tell: Tell) -> None:
    from promotion.by_hand.batch import all_may_go, copy_all, record_all, tag_all
    from promotion.commands.transfer import for_real, rehearsed

    if not all_may_go(items):
        return
    doing, where = ("comparing", rehearsed) if options.dry_run else ("copying", for_real)
    copy_all(items, partial(_bring_over, where), tell, doing)
    if options.dry_run:
        return
    record_all(items, tell)
    if all_may_go(items):
        tag_all(items, tell)
    if all_may_go(items) and options.event:
        _announce(items)


def _given(options: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, with what the flags say instead of it; both have the same names."""
    given = dict(environment)
    for flag in _FLAGS:
        name = flag.variables[0]
        said = [getattr(options, name.lower()), *(environment.get(each) for each in flag.variables)]
        given[name] = next((each for each in said if each), "")
    missing = [flag for flag in _FLAGS if flag.required and not given[flag.variables[0]]]
    if missing:
        options.parser.error("; ".join(each.wanted for each in missing))
    for flag in _FLAGS:
        if not flag.required:
            _check_file(flag, given[flag.variables[0]])
    return given


def _check_file(flag: _Flag, path: str) -> None:
    from promotion.errors import BadConfiguration

    if path and not Path(path).is_file():
        raise BadConfiguration(f"{flag.name} ({flag.variables[0]}) names {path}, which is no file")


def _gated(event: bool, given: Mapping[str, str], writer: Transport) -> Setting:
    from promotion import publisher
    from promotion.commands.promote_settings import by_the_gates
    from promotion.errors import BadConfiguration

    topic = given.get("PROMOTION_EVENTS_TOPIC", "")
    if event and not topic:
        raise BadConfiguration("--event needs PROMOTION_EVENTS_TOPIC: projects/P/topics/T")
    return by_the_gates(writer, given, publisher.topic(topic))


def _ungated(given: Mapping[str, str]) -> Setting:
    from promotion.by_hand.errand import NoPromotionYaml
    from promotion.commands.in_reach import file_in_reach

    known = file_in_reach(given)
    if known is None:
        return NoPromotionYaml()
    from promotion.commands.promote_settings import past_the_gates

    return past_the_gates(known, _host(given, "DEST"), given)


def _errands(
    images: Sequence[str], given: Mapping[str, str], reader: Transport, writer: Transport
) -> list[Errand]:
    """What is to be promoted, each image once."""
    from promotion.by_hand.errand import Errand
    from promotion.errors import BadReference
    from promotion.registry.reference import Reference

    source, destination = _stage(given, "SOURCE"), _stage(given, "DEST")
    if source == destination:
        raise BadReference(f"{source} is both source and destination: name two stages")
    errands = []
    for text in dict.fromkeys(images):
        name = text.partition("@")[0]
        if any(name.startswith(f"{_registry(given, side)}/") for side in _SIDES):
            raise BadReference(f"{name} has its registry in it: name it without, as NAME:TAG")
        origin = Reference.parse(f"{source}/{text}")
        if not origin.tag:
            raise BadReference(f"{text!r} has no tag; write it as NAME:TAG")
        target = Reference.parse(f"{destination}/{name}")
        errands.append(Errand.of(name, origin, target, reader, writer))
    return errands


def _stage(given: Mapping[str, str], side: str) -> str:
    return f"{_registry(given, side)}/{given[f'{side}_STAGE'].strip('/')}"


def _registry(given: Mapping[str, str], side: str) -> str:
    return given[f"{side}_REGISTRY"].strip("/")


def _host(given: Mapping[str, str], side: str) -> str:
    return given[f"{side}_REGISTRY"].partition("/")[0]


def _found(errands: Sequence[Errand], tell: Tell) -> list[Found]:
    """All the images, if each is there and may be written to where it goes.

    Raises:
        PromotionError: One is not; where it is more than one, ``Several``.
    """
    from promotion.errors import PromotionError, Several
    from promotion.registry import parallel

    writable = [
        parallel.start(errand.validate, errand.destination.repository.host) for errand in errands
    ]
    found, wrong = [], []
    for errand, validated in zip(errands, writable, strict=True):
        try:
            tell(f"resolving {errand.name}")
            found.append(errand.resolve())
            validated.result()
        except PromotionError as error:
            wrong.append(error)
    if len(wrong) > 1:
        raise Several(wrong)
    if wrong:
        raise wrong[0]
    return found


def _bring_over(where: Writing, found: Found) -> Copied:
    from promotion.commands.transfer import check_tag, transfer
    from promotion.registry.referrers import AllAttachments

    errand, image = found.errand, found.image
    check_tag(image, errand.origin, errand.target)
    target, bring = where(errand.destination)
    with AllAttachments(errand.source) as attachments:
        attachments.look_up(image.digest)
        copied = transfer(image, found.present, errand.source, target, attachments, bring)
    if not found.present:
        target.put_manifest(image)
    return copied


def _announce(items: Sequence[Item]) -> None:
    from promotion.by_hand.terms import ByTheGate

    for item in items:
        if isinstance(item.terms, ByTheGate):
            item.event = item.terms.announce()


def _report(items: Sequence[Item], options: argparse.Namespace, tell: Tell) -> int:
    from promotion.commands.promote_report import report

    return report(items, options, tell)


def _say(line: str) -> None:
    print(readable(line), flush=True)


def _silent(line: str) -> None:
    """Standard output is for the object alone."""
