"""What a session is and does: life cycle, context, timers, actors, supervision, and the `Runtime` one embeds.

Nothing here knows a socket or SQL.
"""

from .agent import Agent
from .answers import History
from .clock import Clock, SystemClock
from .config import RuntimeConfig, SessionConfig, SessionMaxima
from .errors import SessionError
from .handles import Event, Message, SentMessage, SessionHandle, Subscription
from .loop import Dispatcher, LoopActor
from .runtime import Runtime
from .store_process import StoreProcess
from .turn import Said, Turn, TurnCancelled

__all__ = [
    "Agent",
    "Clock",
    "Dispatcher",
    "Event",
    "History",
    "LoopActor",
    "Message",
    "Runtime",
    "RuntimeConfig",
    "Said",
    "SentMessage",
    "SessionConfig",
    "SessionError",
    "SessionHandle",
    "SessionMaxima",
    "StoreProcess",
    "Subscription",
    "SystemClock",
    "Turn",
    "TurnCancelled",
]
