"""Tests on the real parts: docker-registry, the Pub/Sub emulator, the function's own server."""
