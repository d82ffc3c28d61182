"""Envelopes with any reply target: Pykka's type names its own future, its code needs only `set` and `set_exception`."""

from collections.abc import Callable
from typing import Any, cast

from pykka._envelope import Envelope

from .commits import ReplyTarget

enclose = cast("Callable[[Any, ReplyTarget | None], Envelope[Any]]", Envelope)
"""Put a message into an envelope; the answer goes to the target, None for a tell."""
