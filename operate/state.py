"""The bucket that keeps Terraform's state: made once, and made sure of each time."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from operate.errors import OperationFailed
from operate.programs import Program

# What Terraform itself has to call before it can enable anything else.
SERVICES = (
    "cloudresourcemanager.googleapis.com",
    "iam.googleapis.com",
    "serviceusage.googleapis.com",
    "storage.googleapis.com",
)

_PROTECTIONS = ("--uniform-bucket-level-access", "--public-access-prevention")


class _Found(msgspec.Struct, rename="camel"):
    project_number: str


@dataclass(frozen=True)
class StateBucket:
    """Where the state of a deployment is.

    Attributes:
        prefix: Which deployment's, where a project has several.
    """

    name: str
    project: str
    prefix: str = "promotion"

    @property
    def url(self) -> str:
        """What gcloud calls it."""
        return f"gs://{self.name}"


def named_after(project: str) -> str:
    """The name of a project's bucket, if it was given no other."""
    return re.sub("[^a-z0-9-]", "-", f"{project}-promotion-state")


def make_sure(gcloud: Program, bucket: StateBucket, region: str) -> None:
    """Let the bucket exist, in the project, with versions and closed to the public.

    Raises:
        OperationFailed: It cannot be made, or somebody else has one with this name.
    """
    gcloud.run("services", "enable", *SERVICES, f"--project={bucket.project}")
    if not exists(gcloud, bucket):
        gcloud.run(
            "storage",
            "buckets",
            "create",
            bucket.url,
            f"--project={bucket.project}",
            f"--location={region}",
            *_PROTECTIONS,
        )
    gcloud.run("storage", "buckets", "update", bucket.url, "--versioning", *_PROTECTIONS)


def exists(gcloud: Program, bucket: StateBucket) -> bool:
    """Whether the bucket is there.

    Bucket names are the whole world's: whoever takes this one first could write the state that
    Terraform acts upon, so a bucket of another project is not the one.

    Raises:
        OperationFailed: It is another project's, or one may not see it.
    """
    answer = gcloud.ask("storage", "buckets", "describe", bucket.url, "--raw", "--format=json")
    if answer.status:
        if "404" in answer.complaint:
            return False
        raise OperationFailed(
            f"{bucket.url} cannot be looked at: {answer.complaint.strip()}. If it is not yours,"
            " choose another name: STATE_BUCKET=…"
        )
    owner = msgspec.json.decode(answer.output, type=_Found).project_number
    own = gcloud.ask("projects", "describe", bucket.project, "--format=value(projectNumber)")
    if owner != own.output.strip():
        raise OperationFailed(
            f"{bucket.url} belongs to another project, number {owner}: what it holds cannot be"
            " trusted. Choose another name: STATE_BUCKET=…"
        )
    return True


def missing(gcloud: Program, bucket: StateBucket) -> str | None:
    """What to do where there is no such bucket, as a check of prerequisites."""
    try:
        if exists(gcloud, bucket):
            return None
    except OperationFailed as error:
        return str(error)
    return (
        f"there is no bucket {bucket.url} for Terraform's state:"
        f" make bootstrap PROJECT={bucket.project} REGION=…"
    )
