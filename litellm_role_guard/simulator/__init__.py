"""A vLLM look-alike for demos, tests and load; it knows nothing of the guard."""

from __future__ import annotations

from .app import create_app, serve, server_config

__all__ = ["create_app", "serve", "server_config"]
