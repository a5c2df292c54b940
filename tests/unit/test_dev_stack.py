"""What `make dev` tells `make` in another terminal."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from dev.stack import for_make


def environment_of(target: str, folder: Path, **variables: str) -> dict[str, str]:
    """The environment that a recipe of that target has, by what `make dev` writes."""
    text = for_make("127.0.0.1:1", "p", Path("/dev-stack/promotion.yaml"))
    (folder / "Makefile").write_text(f"{text}{target}:\n\t@env\n", encoding="utf-8")
    command = ["make", "--no-print-directory", "-C", str(folder), target]
    environment = {"PATH": os.environ["PATH"], **variables}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in ended.stdout.splitlines())


def test_publish_and_evaluate_find_the_emulator_and_the_topics(tmp_path: Path) -> None:
    """The emulator's, of the stack's own project."""
    for target in ("publish", "evaluate"):
        found = environment_of(target, tmp_path)
        assert found["PUBSUB_EMULATOR_HOST"] == "127.0.0.1:1"
        assert found["PROMOTION_RESULTS_TOPIC"] == "projects/p/topics/shop-results"
        assert found["PROMOTION_SIGNALS_TOPIC"] == "projects/p/topics/promotion-signals"


def test_evaluate_alone_finds_the_promotion_yaml(tmp_path: Path) -> None:
    """To look pipelines up in; one that somebody names goes before, and no other target has it."""
    assert environment_of("evaluate", tmp_path)["PROMOTION_CONFIG"] == "/dev-stack/promotion.yaml"
    named = environment_of("evaluate", tmp_path, PROMOTION_CONFIG="my.yaml")
    assert named["PROMOTION_CONFIG"] == "my.yaml"
    assert "PROMOTION_CONFIG" not in environment_of("p2p-promote-to-prod", tmp_path)
