"""Sojourn: the session runtime for conversational software."""

from sojourn._version import __version__
from sojourn.actors import Runtime, RuntimeConfig, SessionConfig
from sojourn.gateway.client import connect
from sojourn.gateway.client_sync import Client

__all__ = ["Runtime", "RuntimeConfig", "SessionConfig", "connect", "Client", "__version__"]
