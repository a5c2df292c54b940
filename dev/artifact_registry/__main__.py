"""The command: an Artifact Registry on a port of this machine, until SIGINT or SIGTERM."""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import get_args

from dev.artifact_registry import ArtifactRegistry, Role
from dev.registry import serve


def run() -> None:
    """Serve an Artifact Registry until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m dev.artifact_registry", description=run.__doc__
    )
    parser.add_argument("--root", type=Path, required=True, help="directory to keep the content in")
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    parser.add_argument("--immutable-tags", action="store_true", help="let no tag move")
    parser.add_argument(
        "--grant",
        nargs=3,
        action="append",
        default=[],
        metavar=("TOKEN", "ROLE", "PROJECT[/REPOSITORY]"),
        help=f"accept a token; roles: {', '.join(get_args(Role))}",
    )
    arguments = parser.parse_args()
    tokens: dict[str, dict[str, Role]] = defaultdict(dict)
    for token, role, resource in arguments.grant:
        if role not in get_args(Role):
            parser.error(f"not a role: {role!r}")
        tokens[token][resource] = role
    serve(
        ArtifactRegistry(
            arguments.root,
            arguments.port,
            tokens=tokens,
            immutable_tags=arguments.immutable_tags,
        )
    )


if __name__ == "__main__":
    run()
