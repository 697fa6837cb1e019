"""The command line: `role-guard ...`."""

from .main import main

__all__ = ["main"]
