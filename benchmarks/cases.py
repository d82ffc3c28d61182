"""The loads under which `benchmarks.throughput` compares servers, and how much faster Sojourn must be."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Case:
    """One shape of load, and what it is compared with."""

    connections: int
    sessions: int = 1
    "A connection."
    outstanding: int = 1
    "A connection."
    durability: str = "full"
    bars: dict[str, float | None]
    "By peer the least ratio that will do; None: for the reader."
    one_core_bars: tuple[str, ...] = ()
    "Peers whose bar counts with one core for the server only."

    @property
    def title(self) -> str:
        """The shape in words."""
        sessions = "1 session" if self.sessions == 1 else f"{self.sessions} sessions"
        return f"{self.connections:,} connections × {sessions} × {self.outstanding} outstanding"


CASES = {
    "1": Case(
        connections=1000,
        bars={
            "echo": 0.55,
            "erlang-memory": 1.2,
            "erlang-durable": 1.3,
            "handwritten-commit": 3.5,
            "handwritten-group": 2.5,
            "obvious": 80.0,
        },
        one_core_bars=("handwritten-commit", "handwritten-group"),
    ),
    "2": Case(connections=50, bars={"erlang-durable": 1.0, "echo": None}),
    "3": Case(
        connections=50,
        sessions=20,
        outstanding=32,
        bars={"erlang-memory": 2.0, "msgpack": 0.25, "handwritten-commit": None, "handwritten-group": None},
    ),
    "4": Case(connections=50, sessions=20, outstanding=32, durability="memory", bars={"msgpack": 0.6}),
}
QUICK_PEERS = {"1": ("echo", "erlang-memory"), "3": ("msgpack",), "4": ("msgpack",)}
"""What a short round plays of each case; nothing of the second, which is the first at fewer connections."""
