"""The deployment as Terraform makes it: one root configuration, whose state is in a bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from operate.errors import OperationFailed
from operate.programs import Program
from operate.state import StateBucket

ROOT = Path(__file__).parent.parent / "terraform" / "deployment"


@dataclass(frozen=True)
class Settings:
    """What the deployment is made of.

    Attributes:
        config: The promotion.yaml.
        variables: A file with further variables of the module; None: their defaults.
    """

    project: str
    region: str
    config: Path
    variables: Path | None = None

    @property
    def arguments(self) -> list[str]:
        """The same for Terraform; of a variable that is given twice, the later value counts."""
        files = [f"-var-file={self.variables.resolve()}"] if self.variables else []
        return [
            *files,
            f"-var=project_id={self.project}",
            f"-var=region={self.region}",
            f"-var=configuration={self.config.resolve()}",
        ]


class Infrastructure:
    """The root configuration, with the state in a bucket."""

    def __init__(self, terraform: Program, bucket: StateBucket) -> None:
        self._terraform = terraform
        self._backend = (
            f"-backend-config=bucket={bucket.name}",
            f"-backend-config=prefix={bucket.prefix}",
        )

    def change(self, verb: str, settings: Settings, further: Sequence[str]) -> None:
        """Plan, apply or destroy; Terraform asks before it changes anything.

        Raises:
            OperationFailed: Terraform did not succeed.
        """
        self._terraform.run(*self._initialisation)
        self._terraform.run(_FOLDER, verb, *settings.arguments, *further)

    def outputs(self) -> str:
        """What Terraform has put out, as JSON.

        Raises:
            OperationFailed: Terraform did not succeed.
        """
        for arguments in (self._initialisation, (_FOLDER, "output", "-json")):
            answer = self._terraform.ask(*arguments)
            if answer.status:
                raise OperationFailed(
                    f"terraform {arguments[1]} failed: {answer.complaint.strip()}"
                )
        return answer.output

    @property
    def _initialisation(self) -> tuple[str, ...]:
        # The folder may have served another project's state before.
        return (_FOLDER, "init", "-input=false", "-reconfigure", *self._backend)


_FOLDER = f"-chdir={ROOT}"
