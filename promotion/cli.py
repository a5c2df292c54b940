"""The command line. Exit codes: 0 done, 1 refused or failed, 2 usage."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence

from promotion import __version__, events, log, publisher
from promotion.errors import BadConfiguration, NotFound, PromotionError, Retryable
from promotion.events import Outcome
from promotion.registry.auth import GoogleIdentity
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Reference
from promotion.registry.transport import Transport

_PUBLISH_EXAMPLES = """\
examples:
  to the topic that PROMOTION_RESULTS_TOPIC names:
    promotion publish europe-west2-docker.pkg.dev/acme/shop/fast-feedback/shop:1.4.2 \\
      --suite functional --outcome success --run-url https://ci.example/run/7
  to a function on this machine:
    promotion publish 127.0.0.1:5000/shop/fast-feedback/shop:1.4.2 \\
      --suite functional --outcome success --url http://127.0.0.1:8080
"""


def run() -> None:
    """Run the command that the process's arguments name, and exit."""
    sys.exit(main(sys.argv[1:], os.environ))


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command and return its exit code."""
    options = _parser(environment).parse_args(arguments)
    log.configure(log.ReadableFormatter(), environment.get("LOG_LEVEL", "WARNING"))
    try:
        options.command(options)
    except PromotionError as error:
        print(f"promotion: {error}", file=sys.stderr)
        return 1
    return 0


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="promotion",
        description="Moves a tested container image to the next stage.",
    )
    parser.add_argument("--version", action="version", version=f"promotion {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_publish(commands, environment)
    return parser


def _add_publish(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], environment: Mapping[str, str]
) -> None:
    publish = commands.add_parser(
        "publish",
        help="send a test result",
        description="Looks up the image's digest and sends a test result about that digest.",
        epilog=_PUBLISH_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    publish.add_argument("image", metavar="IMAGE:TAG", help="the image that was tested")
    publish.add_argument("--suite", required=True, help="the test suite that has finished")
    publish.add_argument(
        "--outcome",
        required=True,
        choices=[str(outcome) for outcome in Outcome],
        help="how it ended",
    )
    publish.add_argument("--ref", default="", help="the git ref the image was built from")
    publish.add_argument("--commit", default="", help="the git commit the image was built from")
    publish.add_argument("--run-url", default="", help="a link to the run, for people")
    publish.add_argument(
        "--topic",
        default=environment.get("PROMOTION_RESULTS_TOPIC", ""),
        help="projects/PROJECT/topics/NAME (default: $PROMOTION_RESULTS_TOPIC)",
    )
    publish.add_argument("--url", default="", help="send to a function over HTTP: for development")
    publish.add_argument("--json", action="store_true", help="print what was sent as JSON")
    publish.set_defaults(command=_publish)


def _publish(options: argparse.Namespace) -> None:
    reference = Reference.parse(options.image)
    digest = _digest_of(reference)
    event = events.report(
        events.PlainResult(
            image=str(reference),
            digest=digest,
            suite=options.suite,
            outcome=options.outcome,
            ref=options.ref,
            commit=options.commit,
            url=options.run_url,
        )
    )
    message_id = _send(event, options.topic, options.url)
    if options.json:
        sent = {"image": str(reference), "digest": digest, "message_id": message_id}
        print(json.dumps(sent))
    else:
        print(f"sent: {options.suite} {options.outcome} for {reference}@{digest}")


def _digest_of(reference: Reference) -> Digest:
    if reference.digest:
        return reference.digest
    digest = RepositoryClient(reference.repository, Transport(GoogleIdentity())).resolve(
        reference.tag
    )
    if digest is None:
        raise NotFound(f"{reference} does not exist; push it first, or check the name and the tag")
    return digest


def _send(event: events.Event, topic: str, url: str) -> str:
    if url:
        return _post(event, url)
    if not topic:
        raise BadConfiguration(
            "Nowhere to send to: give --topic (or PROMOTION_RESULTS_TOPIC), or --url"
        )
    return publisher.topic(topic).publish(event)


def _post(event: events.Event, url: str) -> str:
    import urllib3

    try:
        headers = dict(event.attributes)
        with urllib3.PoolManager(retries=False) as pool:
            answer = pool.request("POST", url, body=event.data, headers=headers)
    except urllib3.exceptions.HTTPError as error:
        raise Retryable(f"{url} gave no answer ({error}); is the function running?") from error
    if answer.status != 200:
        raise Retryable(
            f"{url} answered {answer.status}: {answer.data.decode(errors='replace').strip()};"
            " its log says why"
        )
    return event.attributes["ce-id"]
