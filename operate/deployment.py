"""What a deployment consists of, as Terraform's outputs tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from operate.errors import OperationFailed

_MARK = "results_topics"


class _Output(msgspec.Struct):
    value: Any


class Outputs(msgspec.Struct):
    """The outputs of the module that are read, by their names there."""

    results_topics: dict[str, str]
    push_subscriptions: dict[str, str]
    events_topic: str
    dead_letter_topic: str
    dead_letter_subscription: str
    public_key: str | None = None


@dataclass(frozen=True)
class Deployment:
    """Where its messages go, by full names (``projects/P/topics/T``), and whose word counts.

    Attributes:
        results_topics: Where the results of each pipeline are published, by the pipeline's name.
        sources: The topic of each subscription through which messages come to the function.
        dead_letter_subscription: Keeps what was put aside.
        public_key: Verifies what the function signs, in PEM form; empty if it does not sign.
    """

    results_topics: Mapping[str, str]
    sources: Mapping[str, str]
    events_topic: str
    dead_letter_topic: str
    dead_letter_subscription: str
    public_key: str


def read(text: str | bytes) -> Deployment:
    """The deployment that ``terraform output -json`` tells of.

    Args:
        text: The outputs of the module, or an output that holds all of them.

    Raises:
        OperationFailed: They are not the module's.
    """
    try:
        told = msgspec.convert(_module_outputs(msgspec.json.decode(text)), Outputs)
    except ValueError as error:
        raise OperationFailed(
            f"Terraform's outputs do not tell of a deployment ({error}):"
            " deploy it first, `make deploy PROJECT=… REGION=…`, or name the outputs of your own"
            " configuration, OUTPUTS=FILE with what `terraform output -json` prints"
        ) from error
    return Deployment(
        told.results_topics,
        told.push_subscriptions,
        told.events_topic,
        told.dead_letter_topic,
        told.dead_letter_subscription,
        told.public_key or "",
    )


def _module_outputs(outputs: Any) -> Mapping[str, Any]:
    """The values of the module's outputs, wherever a root configuration has put them."""
    read = msgspec.convert(outputs, dict[str, _Output])
    values = {name: output.value for name, output in read.items()}
    candidates = (values, *values.values())
    for each in candidates:
        if isinstance(each, dict) and _MARK in each:
            return each
    raise ValueError(f"there is no {_MARK} among them")
