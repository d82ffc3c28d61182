"""How a client introduces itself."""

from dataclasses import dataclass, field

from .attachment import Frame
from .messages import PROTOCOL_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Greeting:
    """What `hello` says. `heartbeat` is seconds; None asks for none."""

    role: str | None = None
    identity: str | None = None
    token: str | None = field(default=None, repr=False)
    client: str | None = None
    heartbeat: float | None = None

    def frame(self) -> Frame:
        """Return the `hello` map, without what was not given."""
        told = {
            "token": self.token,
            "role": self.role,
            "identity": self.identity,
            "client": self.client,
            "heartbeat": self.heartbeat,
        }
        return {
            "type": "hello",
            "protocol": PROTOCOL_VERSION,
            **{key: value for key, value in told.items() if value is not None},
        }
