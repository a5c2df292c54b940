"""promotion.yaml as it is written: its keys, and the form of what stands there.

These types are also the source of schemas/promotion.schema.json, with which editors complete and
check the file. What must hold between keys is checked in configuration.py.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

DURATION = re.compile(r"([0-9]{1,6})([smhd])")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOMENT = re.compile(rf"({'|'.join(WEEKDAYS)}) ([01][0-9]|2[0-3]):([0-5][0-9])")
DATE_AND_TIME = re.compile(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T([01][0-9]|2[0-3]):[0-5][0-9]")
SUBSCRIPTION = re.compile(r"projects/[^/]+/subscriptions/[^/]+")
KEY_VERSION = re.compile(
    r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+/cryptoKeyVersions/[0-9]+"
)

Name = Annotated[str, Meta(min_length=1, max_length=128)]
Subscription = Annotated[
    str,
    Meta(
        description="A Pub/Sub subscription: projects/PROJECT/subscriptions/NAME.",
        extra_json_schema={"pattern": f"^{SUBSCRIPTION.pattern}$"},
    ),
]
Duration = Annotated[
    str,
    Meta(
        description="A number and a unit: 90s, 30m, 4h, 2d.",
        extra_json_schema={"pattern": f"^{DURATION.pattern}$"},
    ),
]
Moment = Annotated[
    str,
    Meta(
        description="A weekday and a time, 'fri 16:00', or a date and a time, 2026-12-24T16:00.",
        extra_json_schema={"pattern": f"^({MOMENT.pattern}|{DATE_AND_TIME.pattern})$"},
    ),
]


class Written(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Anything as written in the file: an unknown key is an error."""


class FreezeWritten(Written, rename={"from_": "from"}):
    """A window in which nothing leaves the stage: every week, or once."""

    from_: Moment
    to: Moment
    reason: Annotated[str, Meta(min_length=1)]
    timezone: Annotated[str, Meta(description="An IANA name: Europe/London.")] = "UTC"


class SuiteWritten(Written, rename={"from_": "from"}):
    """A suite that must have succeeded, and where that must have been said."""

    suite: Name
    from_: Annotated[str, Meta(description="The stage it runs in; default: the gate's own.")] = ""
    via: Subscription = ""


class GateWritten(Written):
    """The conditions for leaving a stage. All of them must hold."""

    suites: Annotated[
        list[Name | SuiteWritten], Meta(description="Test suites that must have succeeded.")
    ] = []
    refs: Annotated[list[Name], Meta(description="Git refs, as globs, that may leave.")] = []
    versions: Annotated[str, Meta(description="'semver', or a regular expression.")] = ""
    order: Annotated[
        Literal["minor", "strict", "any"],
        Meta(description="Which versions of the next stage a version must not be behind."),
    ] = "minor"
    soak: Duration | UnsetType = UNSET
    soak_from: Annotated[
        Literal["deployment", "promotion"],
        Meta(description="Since when the soak counts: its deployment, or its promotion here."),
    ] = "deployment"
    restart_soak_on_alert: Annotated[
        bool, Meta(description="Soak anew after an alert, not only for as long as it was open.")
    ] = False
    alerts: Annotated[Literal["none"], Meta(description="No open alert.")] | UnsetType = UNSET
    approvals: Annotated[int, Meta(ge=0, description="How many people must approve.")] = 0
    approvers: Annotated[
        list[Name], Meta(description="E-mail addresses of those who may; default: anybody.")
    ] = []
    freeze: list[FreezeWritten] = []


class StageWritten(Written):
    """A class of environment: the repositories of the images that may run there."""

    registry: Annotated[str, Meta(description="The registry's host and an optional path prefix.")]
    path: Annotated[str, Meta(description="Path in the registry; default: the stage's name.")] = ""
    promotes_to: Annotated[
        Name | list[Name], Meta(description="The stage or stages that images go to from here.")
    ] = []
    gate: GateWritten | UnsetType = UNSET
    entry: Annotated[
        Literal["record", "any"],
        Meta(description="Judge only images with a promotion record for this stage, or any."),
    ] = "record"
    auto: Annotated[
        bool, Meta(description="false: an image leaves only when a person says promote.")
    ] = True
    expect_within: (
        Annotated[
            Duration, Meta(description="An image that has waited here for longer is reported.")
        ]
        | UnsetType
    ) = UNSET


class PipelineWritten(Written):
    """The stages of one product."""

    stages: Annotated[dict[Name, StageWritten], Meta(min_length=1)]
    results: Subscription = ""
    mode: Annotated[
        Literal["promote", "observe"], Meta(description="observe: judge, and copy nothing.")
    ] = "promote"


class SigningWritten(Written):
    """Who signs evidence (kms or key), and the public keys whose signatures count."""

    kms: Annotated[str, Meta(description="A Cloud KMS key version.")] = ""
    key: Annotated[str, Meta(description="Path of a private key file (PEM).")] = ""
    trusted: Annotated[list[str], Meta(description="Public keys, PEM.")] = []


class PipelinesWritten(Written):
    """promotion.yaml: the pipelines of a deployment of Promotion."""

    pipelines: Annotated[dict[Name, PipelineWritten], Meta(min_length=1)]
    signals: Subscription = ""
    signing: SigningWritten | UnsetType = UNSET
