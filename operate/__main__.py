"""``python -m operate``: what the Makefile's targets for a deployment run."""

from operate.cli import run

run()
