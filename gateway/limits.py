"""What a server allows its clients, as it tells them in `welcome`."""

from dataclasses import dataclass
from typing import Any, Final

from sojourn.actors import RuntimeConfig, SessionMaxima

SHORTEST_HEARTBEAT: Final = 0.1
LONGEST_HEARTBEAT: Final = 3600.0
MAX_HISTORY_PAGE: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one server; sizes in bytes."""

    max_frame_bytes: int
    max_reply_bytes: int
    max_context_bytes: int
    max_context_keys: int
    max_attachments: int
    maxima: SessionMaxima

    @classmethod
    def of(cls, config: RuntimeConfig, max_frame_bytes: int, max_reply_bytes: int) -> "Limits":
        return cls(
            max_frame_bytes=max_frame_bytes,
            max_reply_bytes=max_reply_bytes,
            max_context_bytes=config.max_context_bytes,
            max_context_keys=config.max_context_keys,
            max_attachments=config.max_attachments,
            maxima=config.maxima,
        )

    def as_map(self) -> dict[str, Any]:
        """The `limits` of `welcome`; a timeout without a maximum is nil."""
        maxima = self.maxima
        return {
            "max_frame_bytes": self.max_frame_bytes,
            "max_reply_bytes": self.max_reply_bytes,
            "max_context_bytes": self.max_context_bytes,
            "max_context_keys": self.max_context_keys,
            "max_history_page": MAX_HISTORY_PAGE,
            "max_attachments": self.max_attachments,
            "max_timeouts": {
                "session_timeout": maxima.session_timeout,
                "keep_alive": maxima.keep_alive,
                "dialog_timeout": maxima.dialog_timeout,
                "max_lifetime": maxima.max_lifetime,
            },
        }


def grant_heartbeat(wish: float | None) -> float | None:
    """The heartbeat a client gets that wished for `wish` seconds; None when it wished for none."""
    if wish is None:
        return None
    return min(max(float(wish), SHORTEST_HEARTBEAT), LONGEST_HEARTBEAT)
