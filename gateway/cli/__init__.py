"""The `sojourn` command: one file a word, `main` is the console script."""

from .app import app, main

__all__ = ["app", "main"]
