"""Sojourn: the session runtime for conversational software."""

from sojourn._version import __version__
from sojourn.actors import Runtime, RuntimeConfig, SessionConfig

__all__ = ["Runtime", "RuntimeConfig", "SessionConfig", "__version__"]
