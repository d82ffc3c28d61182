"""Receivers of webhooks, as an operator names them."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

from sojourn.storage import EVENT_TYPES

from .signatures import key_of

RETRIES: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds from one attempt to the next: the schedule that Standard Webhooks suggests, three days in all."""

_PRIVATE: Final = ("reminder:set", "reminder:cancelled")
"""What the journal keeps for itself."""


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """One receiver; durations in seconds."""

    url: str
    secret: str = field(repr=False)
    """`whsec_` and 24 to 64 bytes in Base64, known to the receiver."""
    events: tuple[str, ...] = ("*",)
    """Patterns (`*`, `?`) of durable events."""
    name: str = ""
    """Under which it is known from one start to the next; the URL unless given."""
    timeout: float = 15.0
    """How long an attempt may take."""
    concurrency: int = 8
    """Attempts at once."""
    retries: tuple[float, ...] = RETRIES
    """The pauses between the attempts; behind the last one an event is given up."""

    def __post_init__(self) -> None:
        """Raises ValueError that names the field."""
        if not _is_address(self.url):
            raise ValueError(f"url: an http or https address, not {self.url!r}")
        key_of(self.secret)
        if not self.types():
            raise ValueError(f"events: none is called {', '.join(self.events) or 'so'}")
        if self.timeout <= 0 or self.concurrency < 1:
            raise ValueError("timeout and concurrency are above 0")

    @property
    def hook(self) -> str:
        """Its name in the store."""
        return self.name or self.url

    def types(self) -> list[int]:
        """The journal's codes of the events it gets."""
        return [
            code
            for name, code in EVENT_TYPES.items()
            if name not in _PRIVATE and any(fnmatchcase(name, each) for each in self.events)
        ]


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and port != 0
        and text.isprintable()
        and " " not in text
    )
