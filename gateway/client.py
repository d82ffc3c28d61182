"""The client for asyncio: `async with connect(…) as client`, or `client = await connect(…)`.

A thin shell around `ClientProtocol`: it opens sockets, moves bytes, keeps time, and turns happenings into results
and events. All that is made in one turn of the loop leaves in one write.
"""

import asyncio
import random as random_numbers
import ssl as tls
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import uuid4
from weakref import WeakValueDictionary

from sojourn._version import __version__

from .attachment import Frame, Missed
from .backoff import Backoff
from .client_link import Link
from .client_session import Accepted, Erased, Event, Gap, RemoteSession, accepted_of, event_of, gap_of
from .errors import ConnectionLost, GatewayError, InvalidFrame, RequestFailed, request_failed
from .happenings import (
    Answered,
    Ended,
    Followed,
    Goodbye,
    Happening,
    Lost,
    Pushed,
    Refused,
    Silent,
    Unfollowed,
    Welcomed,
)
from .protocol import ClientProtocol, Greeting

__all__ = ["Accepted", "Client", "ConnectOptions", "Event", "Gap", "Listing", "RemoteSession", "connect"]

_PEACEFUL_ENDS = frozenset({"session:detached", "session:erased", "session_expired"})
