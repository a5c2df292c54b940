"""``promotion publish``: look up an image's digest, send a test result, see what becomes of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promotion.events import Event
    from promotion.junit import Tests
    from promotion.messages import PlainResult
    from promotion.registry.reference import Digest, Reference

_OUTCOMES = ("success", "failure", "cancel", "error")
_PATIENCE_SECONDS = 600.0
_NOTHING_TESTED = (
    "promotion: no test was executed, so the outcome that was sent is error, which says nothing"
    " about the image"
)
_EXAMPLES = """\
examples:
  from the reports of a test run, to the topic that PROMOTION_RESULTS_TOPIC names:
    promotion publish europe-west2-docker.pkg.dev/acme/shop/fast-feedback/shop:1.4.2 \\
      --suite functional --junit reports/*.xml --ref "$GITHUB_REF"
  and see whether the image is promoted, for half an hour at most:
    promotion publish europe-west2-docker.pkg.dev/acme/shop/fast-feedback/shop:1.4.2 \\
      --suite functional --junit reports/*.xml --wait --timeout 30m
  by hand, to a function on this machine that runs with PROMOTION_DEV=1:
    promotion publish 127.0.0.1:5000/shop/fast-feedback/shop:1.4.2 \\
      --suite functional --outcome success --run-url https://ci.example/run/7 \\
      --url http://127.0.0.1:8080

A failed test case, or one that broke, makes a report a failure. If all cases were skipped the
outcome that is sent is error, which says nothing about the image, and the exit code is 1. A report
that cannot be read, or has no case at all, is an error before anything is sent.

It needs roles/pubsub.publisher on the topic and roles/artifactregistry.reader on the image's
repository, with --wait on that of the next stage too.

exit codes: 0 sent; 1 refused or failed; 2 usage
exit codes with --wait: 0 it is in every next stage; 1 denied, or not to be found out; 3 it still
waits
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "publish",
        help="send a test result",
        description="Looks up the image's digest and sends a test result about that digest.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "image", metavar="IMAGE:TAG", help="the image that was tested; @DIGEST may follow"
    )
    parser.add_argument("--suite", required=True, help="the test suite that has finished")
    found = parser.add_mutually_exclusive_group(required=True)
    found.add_argument("--outcome", choices=_OUTCOMES, help="how it ended")
    found.add_argument(
        "--junit",
        metavar="FILE",
        nargs="+",
        action="extend",
        help="how it ended, as these JUnit XML reports tell",
    )
    parser.add_argument("--ref", default="", help="the git ref the image was built from")
    parser.add_argument("--commit", default="", help="the git commit the image was built from")
    parser.add_argument("--run-url", default="", help="a link to the run, for people")
    _add_places(parser)
    _add_waiting(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(command=run, parser=parser)


def _add_places(parser: argparse.ArgumentParser) -> None:
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        "--topic",
        default="",
        help="projects/PROJECT/topics/NAME (default: $PROMOTION_RESULTS_TOPIC)",
    )
    places.add_argument("--url", default="", help="to a function that runs with PROMOTION_DEV=1")


def _add_waiting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", action="store_true", help="wait until the image is promoted or denied"
    )
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=_seconds,
        help="with --wait: how long, such as 90s or 30m (default: 10m)",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        default="",
        help="with --wait: judge by this promotion.yaml (default: the one beside the image)",
    )


def _seconds(text: str) -> float:
    from promotion.configuration import duration

    try:
        return duration(text).total_seconds()
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Send a test result.

    Raises:
        PromotionError: A report says nothing, the image is not there, the result could not be
            sent, or what became of it could not be found out.
    """
    from promotion.commands import messaging, outcome
    from promotion.commands.sides import side_around
    from promotion.messages import report
    from promotion.registry.reference import Reference

    _check_usage(options)
    tests = _tests(options.junit or [])
    reference = Reference.parse(options.image)
    transport = side_around(reference.repository.host, environment)
    result = _result(options, reference, messaging.digest_of(reference, transport), tests)
    nothing_tested = tests is not None and result.outcome == "error"
    follows = options.wait and not nothing_tested
    following = (
        outcome.Following(result, options.config, transport, environment) if follows else None
    )
    message_id = _send(report(result), options, environment)
    sent = outcome.Sent(result, message_id, tests)
    if not options.json:
        print(outcome.in_words(sent), flush=True)
    timeout = _PATIENCE_SECONDS if options.timeout is None else options.timeout
    seen = following.end(timeout) if following else None
    if options.json:
        print(json.dumps(outcome.as_json(sent, seen)))
    if nothing_tested:
        print(_NOTHING_TESTED, file=sys.stderr)
        return 1
    return outcome.tell_end(seen) if seen else 0


def _check_usage(options: argparse.Namespace) -> None:
    if options.wait and options.outcome in ("cancel", "error"):
        options.parser.error(f"--wait: {options.outcome} says nothing about the image")
    if not options.wait and (options.config or options.timeout is not None):
        options.parser.error("--timeout and --config go with --wait")


def _tests(files: Sequence[str]) -> Tests | None:
    """What the reports say together; None without a report."""
    from promotion import junit
    from promotion.errors import BadReport

    if not files:
        return None
    tests = sum((junit.read_file(Path(file)) for file in files), start=junit.Tests())
    if tests == junit.Tests():
        raise BadReport(
            f"No test case is in {', '.join(files)}: nothing is sent; did the tests run?"
        )
    return tests


def _result(
    options: argparse.Namespace, image: Reference, digest: Digest, tests: Tests | None
) -> PlainResult:
    from promotion.messages import PlainResult

    return PlainResult(
        image=str(image),
        digest=digest,
        suite=options.suite,
        outcome=tests.outcome.value if tests else options.outcome,
        ref=options.ref,
        commit=options.commit,
        url=options.run_url,
    )


def _send(event: Event, options: argparse.Namespace, environment: Mapping[str, str]) -> str:
    from promotion.commands import messaging

    if options.url:
        messaging.post(options.url, event.data, event.attributes)
        return event.attributes["ce-id"]
    topic = messaging.topic_named(options.topic, "PROMOTION_RESULTS_TOPIC", environment)
    return topic.publish(event)
