"""``promotion evaluate``: have images judged again, one by one or all that wait."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from promotion.commands.in_reach import InReach
    from promotion.events import Event
    from promotion.registry.reference import Reference

    Send = Callable[[Event], str]
    """Hands a request over, and tells its id."""

_UNCHECKED = (
    "promotion: no promotion.yaml is at hand to look {name} up in: if the function's has no such"
    " pipeline, nothing comes of this; to have it looked up give --config"
)
_EXAMPLES = """\
examples:
  one image, by the topic that PROMOTION_SIGNALS_TOPIC names:
    promotion evaluate europe-west2-docker.pkg.dev/acme/shop/extended-test/shop:1.4.2
  all that wait, of a pipeline or of every one:
    promotion evaluate --pipeline shop --topic projects/acme-ci/topics/promotion-signals
    promotion evaluate --all --topic projects/acme-ci/topics/promotion-signals
  by a function on this machine that runs with PROMOTION_DEV=1 and this promotion.yaml:
    promotion evaluate --all --config promotion.yaml --url http://127.0.0.1:8080

The function judges as if a result had come: by all that is stated of the image, and by what time
it is. Nothing is judged here, and to ask twice does no harm; `promotion status` tells what came of
it.

An image is named in the stage that it is to leave; what is not there, or in no stage of the
promotion.yaml in reach, is an error before anything is sent. So is a pipeline that is not in it;
where no promotion.yaml is in reach, a pipeline is not looked up, and the command says so.

It needs roles/pubsub.publisher on the topic and, for images, roles/artifactregistry.reader on their
repositories.

exit codes: 0 sent; 1 refused or failed; 2 usage
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "evaluate",
        help="have images judged again",
        description="Asks the function to judge images again, or all that wait.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE:TAG", help="an image, in its stage; @DIGEST may follow"
    )
    waiting = parser.add_mutually_exclusive_group()
    waiting.add_argument(
        "--pipeline", metavar="NAME", default="", help="instead: all that wait of a pipeline"
    )
    waiting.add_argument("--all", action="store_true", help="instead: all that wait")
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        "--topic",
        default="",
        help="projects/PROJECT/topics/NAME (default: $PROMOTION_SIGNALS_TOPIC)",
    )
    places.add_argument("--url", default="", help="to a function that runs with PROMOTION_DEV=1")
    parser.add_argument(
        "--config",
        metavar="FILE",
        default="",
        help="look the stages up here (default: $PROMOTION_CONFIG, else promotion.yaml if there)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(command=run, parser=parser)


class _Request(NamedTuple):
    """What is to be judged again.

    Attributes:
        words: The same, for people.
        fields: The same, for machines.
    """

    event: Event
    words: str
    fields: Mapping[str, object]


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Ask for it.

    Raises:
        PromotionError: An image is not there or in no stage, there is no such pipeline, or the
            request could not be sent.
    """
    from promotion.commands.in_reach import file_in_reach

    if sum(map(bool, (options.images, options.pipeline, options.all))) != 1:
        options.parser.error("name images, or --pipeline, or --all")
    known = file_in_reach(environment, options.config)
    _check_signals(known)
    send = _sender(options, environment, known)
    sent = []
    for request in list(_requests(options, environment, known)):
        message_id = send(request.event)
        sent.append({**request.fields, "message_id": message_id})
        if not options.json:
            print(f"sent: evaluate {request.words}", flush=True)
    if options.json:
        print(json.dumps({"requests": sent}))


def _requests(
    options: argparse.Namespace, environment: Mapping[str, str], known: InReach | None
) -> Iterator[_Request]:
    from promotion.messages import evaluation_of_all

    if options.all:
        yield _Request(evaluation_of_all(), "all that wait", {"all": True})
    elif options.pipeline:
        name = options.pipeline
        _check_pipeline(name, known)
        yield _Request(evaluation_of_all(name), f"all that wait of {name}", {"pipeline": name})
    else:
        yield from _of_images(options.images, environment, known)


def _of_images(
    names: Sequence[str], environment: Mapping[str, str], known: InReach | None
) -> Iterator[_Request]:
    from promotion.commands.messaging import digest_of
    from promotion.commands.sides import side_around
    from promotion.messages import evaluation
    from promotion.registry.reference import Reference

    given = [Reference.parse(name) for name in names]
    for image in given:
        _check_stage(image, known)
    hosts = {image.repository.host for image in given}
    transports = {host: side_around(host, environment) for host in hosts}
    for each in given:
        digest = digest_of(each, transports[each.repository.host])
        image = Reference(each.repository, each.tag)
        fields = {"image": str(image), "digest": digest}
        yield _Request(evaluation(image, digest), str(image.at(digest)), fields)


def _check_signals(known: InReach | None) -> None:
    from promotion.errors import BadConfiguration

    if known and not known.pipelines.signals:
        raise BadConfiguration(
            f"{known.name} has no signals: a function with this file takes no request to evaluate;"
            " give it the key signals, or name another file with --config"
        )


def _check_stage(image: Reference, known: InReach | None) -> None:
    from promotion.errors import BadMessage, BadReference

    if known is None or not image.tag:
        return
    try:
        known.pipelines.find(image)
    except BadMessage as error:
        raise BadReference(f"{error} (looked up in {known.name})") from error


def _check_pipeline(name: str, known: InReach | None) -> None:
    """See that there is such a pipeline; say so where nobody can know."""
    from promotion.errors import BadReference

    if known is None:
        print(_UNCHECKED.format(name=name), file=sys.stderr)
        return
    names = [pipeline.name for pipeline in known.pipelines.pipelines]
    if name not in names:
        raise BadReference(f"There is no pipeline {name!r}; {known.name} has {', '.join(names)}")


def _sender(
    options: argparse.Namespace, environment: Mapping[str, str], known: InReach | None
) -> Send:
    from promotion.commands.messaging import topic_named

    if options.url:
        return _to_function(options.url, known)
    return topic_named(options.topic, "PROMOTION_SIGNALS_TOPIC", environment).publish


def _to_function(url: str, known: InReach | None) -> Send:
    """As a push without a wrapper, which says through which subscription it came: signals must."""
    from uuid import uuid4

    from promotion.commands.messaging import post
    from promotion.errors import BadConfiguration

    if known is None:
        raise BadConfiguration(
            "Signals count only through the subscription that promotion.yaml names: with --url,"
            " give the function's own file as --config"
        )
    through = {"X-Goog-Pubsub-Subscription-Name": known.pipelines.signals}

    def send(event: Event) -> str:
        message_id = str(uuid4())
        post(url, event.data, {**through, "X-Goog-Pubsub-Message-Id": message_id})
        return message_id

    return send
