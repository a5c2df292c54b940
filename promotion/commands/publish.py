"""``promotion publish``: look up an image's digest and send a test result about it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promotion.events import Event

_OUTCOMES = ("success", "failure", "cancel", "error")
_EXAMPLES = """\
examples:
  to the topic that PROMOTION_RESULTS_TOPIC names:
    promotion publish europe-west2-docker.pkg.dev/acme/shop/fast-feedback/shop:1.4.2 \\
      --suite functional --outcome success --run-url https://ci.example/run/7
  to a function on this machine:
    promotion publish 127.0.0.1:5000/shop/fast-feedback/shop:1.4.2 \\
      --suite functional --outcome success --url http://127.0.0.1:8080
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "publish",
        help="send a test result",
        description="Looks up the image's digest and sends a test result about that digest.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", metavar="IMAGE:TAG", help="the image that was tested")
    parser.add_argument("--suite", required=True, help="the test suite that has finished")
    parser.add_argument("--outcome", required=True, choices=_OUTCOMES, help="how it ended")
    parser.add_argument("--ref", default="", help="the git ref the image was built from")
    parser.add_argument("--commit", default="", help="the git commit the image was built from")
    parser.add_argument("--run-url", default="", help="a link to the run, for people")
    parser.add_argument(
        "--topic",
        default="",
        help="projects/PROJECT/topics/NAME (default: $PROMOTION_RESULTS_TOPIC)",
    )
    parser.add_argument("--url", default="", help="send to a function over HTTP: for development")
    parser.add_argument("--json", action="store_true", help="print what was sent as JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Send a test result.

    Raises:
        PromotionError: The image is not there, or the result could not be sent.
    """
    from promotion import messages
    from promotion.commands.sides import source_side
    from promotion.registry.lookup import digest_named_by
    from promotion.registry.reference import Reference

    reference = Reference.parse(options.image)
    digest = digest_named_by(reference, source_side(environment))
    event = messages.report(
        messages.PlainResult(
            image=str(reference),
            digest=digest,
            suite=options.suite,
            outcome=options.outcome,
            ref=options.ref,
            commit=options.commit,
            url=options.run_url,
        )
    )
    topic = options.topic or environment.get("PROMOTION_RESULTS_TOPIC", "")
    message_id = _send(event, topic, options.url)
    if options.json:
        print(json.dumps({"image": str(reference), "digest": digest, "message_id": message_id}))
    else:
        print(f"sent: {options.suite} {options.outcome} for {reference}@{digest}")


def _send(event: Event, topic: str, url: str) -> str:
    from promotion import publisher
    from promotion.errors import BadConfiguration

    if url:
        return _post(event, url)
    if not topic:
        raise BadConfiguration(
            "Nowhere to send to: give --topic (or PROMOTION_RESULTS_TOPIC), or --url"
        )
    return publisher.topic(topic).publish(event)


def _post(event: Event, url: str) -> str:
    import urllib3

    from promotion.errors import Retryable

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
