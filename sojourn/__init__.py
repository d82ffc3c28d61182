"""Sojourn: the session runtime for conversational software."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sojourn._version import __version__

if TYPE_CHECKING:
    from sojourn.actors import Runtime, RuntimeConfig, SessionConfig
    from sojourn.gateway.client import connect
    from sojourn.gateway.client_sync import Client

__all__ = ["Runtime", "RuntimeConfig", "SessionConfig", "connect", "Client", "__version__"]

_HOMES = {
    "Runtime": "sojourn.actors",
    "RuntimeConfig": "sojourn.actors",
    "SessionConfig": "sojourn.actors",
    "connect": "sojourn.gateway.client",
    "Client": "sojourn.gateway.client_sync",
}


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: a client needs no runtime, and a command only what it does."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
