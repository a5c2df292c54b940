"""What each of the operator's commands does, and what it needs before it begins."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from operate import deployment, prerequisites, state
from operate import logs as log_entries
from operate.dead_letters import Keep
from operate.errors import OperationFailed
from operate.infrastructure import Infrastructure, Settings
from operate.prerequisites import Check
from operate.programs import Program
from promotion import configuration
from promotion.readable import readable

if TYPE_CHECKING:
    from operate.deployment import Deployment
    from operate.replay import Outcome
    from operate.smoke import Passed

_GCLOUD = Program("gcloud", ("gcloud",))
_VERBS = {"plan": "plan", "deploy": "apply", "destroy": "destroy"}


def bootstrap(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    """Make the bucket for Terraform's state, or make sure that it is as it should be."""
    prerequisites.require(
        [*prerequisites.names(options.project, options.region)],
        [prerequisites.gcloud_program(_GCLOUD)],
        prerequisites.credentials(_GCLOUD)[:1],
        [prerequisites.project(_GCLOUD, options.project)],
    )
    bucket = _bucket(options)
    state.make_sure(_GCLOUD, bucket, options.region)
    print(f"Terraform's state is kept in {bucket.url}; next: make plan, make deploy")
    return 0


def change(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    """Plan, deploy or destroy."""
    files = [
        prerequisites.promotion_yaml(options.config),
        prerequisites.file("VARS", options.vars),
    ]
    infrastructure = _infrastructure(
        options, [*prerequisites.names(options.project, options.region), *files]
    )
    settings = Settings(options.project, options.region, options.config, options.vars)
    infrastructure.change(_VERBS[options.target], settings, shlex.split(options.arguments))
    return 0


def logs(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    """Print what the functions have logged."""
    prerequisites.require(
        prerequisites.names(options.project),
        [prerequisites.gcloud_program(_GCLOUD)],
        prerequisites.credentials(_GCLOUD)[:1],
    )
    try:
        since = datetime.now(UTC) - configuration.duration(options.since)
    except ValueError as error:
        raise OperationFailed(f"SINCE is {options.since!r}: {error}") from error
    wanted = log_entries.Wanted(options.project, since, options.filter)
    read = log_entries.following if options.follow else log_entries.past
    for line in read(_GCLOUD, wanted):
        print(line, flush=True)
    return 0


def replay(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    """Take dead letters back to the topics that they came from; 1 if one could not be."""
    deployed = _deployed(options)
    from google.cloud import pubsub_v1

    from operate.replay import Replayer, Request

    classes = Request.classes if not options.all else frozenset[str]()
    request = Request(classes, options.limit, options.quiet_seconds)
    with pubsub_v1.SubscriberClient() as subscriber:
        replayer = Replayer(deployed, pubsub_v1.PublisherClient(), subscriber)
        treat = replayer.rehearse if options.dry_run else replayer.replay
        outcomes = []
        with closing(treat(request)) as treated:
            for outcome in treated:
                print(_told(outcome, options.dry_run), flush=True)
                outcomes.append(outcome)
    replayed = sum(each.is_replayed for each in outcomes)
    verb = "would be replayed" if options.dry_run else "replayed"
    print(f"{replayed} {verb}, {len(outcomes) - replayed} left where they are")
    if len(outcomes) == options.limit:
        print(f"there may be more than these {options.limit}: do it again, or with LIMIT=…")
    return int(any(each.failure for each in outcomes))


def smoke(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Send an image through the deployment, and ask its registry the open questions."""
    deployed = _deployed(options, prerequisites.promotion_yaml(options.config))
    from google.cloud import pubsub_v1

    from operate.errand import Wish, errand
    from operate.listening import listening
    from operate.probes import probes_of
    from operate.smoke import Smoke, filters
    from operate.witness import witnessed
    from promotion.registry.connections import Connections
    from promotion.registry.side import own_credentials

    wish = Wish(options.pipeline, options.version, options.ref)
    # Later versions are higher, so that none is refused as superseded.
    sent = errand(configuration.load(options.config), wish, f"0.0.{time.time_ns() // 1_000_000}")
    connections = Connections()
    transport, witness = witnessed(
        own_credentials(environment, connections.fetch), connections, environment
    )
    print(f"pipeline {sent.pipeline}: {sent.source} to {', '.join(map(str, sent.destinations))}")
    with (
        pubsub_v1.SubscriberClient() as subscriber,
        listening(subscriber, options.project, filters(deployed, sent)) as inbox,
    ):
        Smoke(deployed, sent, transport, inbox, _tell).run(options.timeout)
    print("\nwhat the registry answers to the open questions of docs/artifact-registry.md:")
    for answer in probes_of(sent, transport, witness).ask(sent.version):
        print(f"  {answer.question:<22} {readable(answer.found)}", flush=True)
    transport.close()
    return 0


def _tell(passed: Passed) -> None:
    print(f"  ✓ {passed.step:<10} {passed.seconds:6.1f} s  {passed.found}", flush=True)


def _told(outcome: Outcome, rehearsed: bool) -> str:
    """What became of a letter, in lines."""
    letter, decision = outcome.letter, outcome.decision
    if isinstance(decision, Keep):
        end = f"stays: {decision.reason}"
    elif outcome.failure:
        end = f"stays: {outcome.failure}"
    else:
        end = f"{'would go' if rehearsed else 'went'} back to {decision.topic}"
    return readable(f"{letter.message_id}  {end}\n    put aside because: {letter.reason}")


def _deployed(options: argparse.Namespace, *files: Check) -> Deployment:
    """The deployment, as its own outputs tell or a file with them."""
    if options.outputs:
        prerequisites.require(
            [*prerequisites.names(options.project), prerequisites.file("OUTPUTS", options.outputs)],
            [prerequisites.application_credentials, *files],
        )
        return deployment.read(options.outputs.read_bytes())
    infrastructure = _infrastructure(options, [*prerequisites.names(options.project), *files])
    return deployment.read(infrastructure.outputs())


def _infrastructure(options: argparse.Namespace, local: list[Check]) -> Infrastructure:
    """Terraform on the deployment's state, once all that this takes is there."""
    terraform = Program.parse("Terraform", options.terraform)
    bucket = _bucket(options)
    prerequisites.require(
        [
            *local,
            prerequisites.gcloud_program(_GCLOUD),
            prerequisites.terraform_program(terraform),
        ],
        prerequisites.credentials(_GCLOUD),
        [prerequisites.project(_GCLOUD, options.project)],
        [partial(state.missing, _GCLOUD, bucket)],
    )
    return Infrastructure(terraform, bucket)


def _bucket(options: argparse.Namespace) -> state.StateBucket:
    name = options.state_bucket or state.named_after(options.project)
    return state.StateBucket(name, options.project, options.state_prefix)
