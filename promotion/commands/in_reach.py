"""The promotion.yaml that a command finds, and what stands in for it where there is none.

Teams whose pipelines run by Core Platform's P2P have their registry and its paths in environment
variables: on the command line, and only there, these give the usual pipeline of three stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promotion.pipeline import Pipelines

DEFAULT_FILE = "promotion.yaml"

_NAME = "the pipeline of P2P_REGISTRY"
_REFS = ["refs/heads/main", "refs/tags/*"]


@dataclass(frozen=True)
class InReach:
    """What judges, as text and as pipelines.

    Attributes:
        name: The file, or what else it is from, for people.
    """

    name: str
    text: str
    pipelines: Pipelines


def in_reach(environment: Mapping[str, str], file: str = "") -> InReach:
    """The configuration that a command is given, or finds.

    Args:
        environment: May name the file, or hold P2P's variables.
        file: The file that the command line names.

    Raises:
        BadConfiguration: There is none, or it is wrong.
    """
    found = file_in_reach(environment, file) or p2p_pipeline(environment)
    return found or _read(Path(DEFAULT_FILE))


def file_in_reach(environment: Mapping[str, str], file: str = "") -> InReach | None:
    """The same, if it is a file.

    Raises:
        BadConfiguration: It is wrong, or the one that is named cannot be read.
    """
    named = file or environment.get("PROMOTION_CONFIG", "")
    if named or Path(DEFAULT_FILE).exists():
        return _read(Path(named or DEFAULT_FILE))
    return None


def p2p_pipeline(environment: Mapping[str, str]) -> InReach | None:
    """The pipeline that P2P's variables describe; None without P2P_REGISTRY.

    Raises:
        BadConfiguration: They describe none, such as two stages with one path.
    """
    registry = environment.get("P2P_REGISTRY", "").strip("/")
    if not registry:
        return None
    import yaml

    from promotion import configuration

    content = {"pipelines": {"p2p": {"stages": _stages(registry, environment)}}}
    text = yaml.safe_dump(content, sort_keys=False)
    return InReach(_NAME, text, configuration.parse(_NAME, text))


def _read(path: Path) -> InReach:
    from promotion import configuration

    text = configuration.read(path)
    return InReach(str(path), text, configuration.parse(str(path), text))


def _stages(registry: str, environment: Mapping[str, str]) -> dict[str, object]:
    def stage(name: str, **more: object) -> dict[str, object]:
        return {"registry": registry, "path": _path(name, environment), **more}

    suites = ["functional", "nft", "integration"]
    return {
        "fast-feedback": stage(
            "fast-feedback", promotes_to="extended-test", gate={"suites": suites, "refs": _REFS}
        ),
        # Here nobody signs, so a record of how an image came in would prove nothing.
        "extended-test": stage(
            "extended-test", promotes_to="prod", entry="any", gate={"suites": ["extended"]}
        ),
        "prod": stage("prod"),
    }


def _path(stage: str, environment: Mapping[str, str]) -> str:
    """A stage's path in the registry, by P2P's variables of today or by those of yesterday."""
    variable = f"{stage.upper().replace('-', '_')}_PATH"
    named = environment.get(f"P2P_REGISTRY_{variable}") or environment.get(variable)
    return (named or stage).strip("/")
