"""What became of a test result that was sent: followed, shown, and told by the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from promotion import configuration, following
from promotion.commands.status import DENIED, WAITING, policy_for
from promotion.errors import (
    BadConfiguration,
    BadMessage,
    BadReference,
    NotFound,
    UnsupportedContent,
)
from promotion.evidence.store import EvidenceStore
from promotion.following import Follower, State, View
from promotion.junit import Tests
from promotion.messages import PlainResult
from promotion.pipeline import Pipelines
from promotion.readable import readable
from promotion.registry.reference import Digest, Reference, parse_digest
from promotion.registry.transport import Transport
from promotion.status import find_policy, pipelines_of

_EXIT_CODES = {State.PROMOTED: 0, State.DENIED: DENIED, State.WAITING: WAITING}


class Sent(msgspec.Struct, frozen=True):
    """A result that was sent.

    Attributes:
        message_id: Its id in the topic, or its own where there is none.
        tests: What it follows from, if that is a report.
    """

    result: PlainResult
    message_id: str
    tests: Tests | None


class Following:
    """Follows the image that a result is about; to be made before the result is sent."""

    def __init__(
        self,
        result: PlainResult,
        file: str,
        transport: Transport,
        environment: Mapping[str, str],
    ) -> None:
        """Look what is stated already.

        Args:
            result: What is to be sent.
            file: The promotion.yaml that judges; default: what is stored beside the image.
            transport: Asks the registries.
            environment: Where P2P's variables may stand in for a promotion.yaml.

        Raises:
            BadConfiguration, BadMessage, BadReference: By what judges, as far as that is known
                before the result is sent, there is nothing to wait for.
            Retryable: The registry failed.
        """
        named, digest = Reference.parse(result.image), parse_digest(result.digest)
        image = Reference(named.repository, named.tag)
        _check_leads_on(image, digest, file, transport)
        expected = following.Result(
            image,
            digest,
            result.suite,
            result.outcome == "success",
            result.ref,
            result.commit,
            result.url,
            following.statements_about(image, digest, transport),
        )

        def judged_by() -> tuple[Pipelines, EvidenceStore]:
            return policy_for(file, image, transport, environment)[:2]

        self._follower = Follower(expected, transport, judged_by)

    def end(self, seconds: float) -> View:
        """Follow the image, and show that on a terminal; what was seen last.

        Raises:
            PromotionError: It could not be found out.
        """
        with _shown() as show:
            return following.follow(self._follower.look, seconds, show)


def in_words(sent: Sent) -> str:
    """What was sent."""
    result = sent.result
    tests = f" ({sent.tests})" if sent.tests else ""
    image = result.image.partition("@")[0]
    return f"sent: {result.suite} {result.outcome}{tests} for {image}@{result.digest}"


def as_json(sent: Sent, seen: View | None) -> dict[str, object]:
    """What was sent, and what was seen of it."""
    result = sent.result
    return {
        "image": result.image,
        "digest": result.digest,
        "suite": result.suite,
        "outcome": result.outcome,
        "message_id": sent.message_id,
        **({"tests": msgspec.to_builtins(sent.tests)} if sent.tests else {}),
        **({"state": seen.state.value, "why": list(seen.why)} if seen else {}),
    }


def tell_end(seen: View) -> int:
    """Say on standard error where the image has got to, or what keeps it; the exit code."""
    for each in seen.why:
        print(f"promotion: {seen.state}: {readable(each)}", file=sys.stderr)
    return _EXIT_CODES[seen.state]


def _check_leads_on(image: Reference, digest: Digest, file: str, transport: Transport) -> None:
    """See that something follows the image's stage, by the file or by what is stored by now.

    Where nothing is stored that can be read, the function may store it with this very result.
    """
    if file:
        following.promotions_of(configuration.load(Path(file)), image, digest)
        return
    try:
        stored = find_policy(image, transport)
        pipelines = pipelines_of(stored)
    except (NotFound, BadConfiguration, UnsupportedContent):
        return
    try:
        following.promotions_of(pipelines, image, digest)
    except (BadMessage, BadReference) as error:
        raise BadReference(
            f"{error}, by {stored.place}; nothing is sent: leave --wait out, or name a newer"
            " promotion.yaml with --config"
        ) from error


@contextmanager
def _shown() -> Iterator[Callable[[View], None]]:
    """A line on a terminal while the block runs; silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("sent") as status:
        yield lambda seen: status.update(Text(readable(f"{seen.state}: {'; '.join(seen.why)}")))
