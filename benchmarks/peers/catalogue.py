"""The peers by name: what each is, what it keeps on disk, and what it needs to run."""

import importlib.util
import shutil
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One server that Sojourn is compared with."""

    is_floor: bool = False
    "It knows no sessions: the load makes their ids up, and a frame that comes back counts as an answer."
    stores: bool = False
    "It keeps messages in a file, which it must be given."
    needs_modules: tuple[str, ...] = ()
    "Python packages beyond Sojourn's own."
    needs_programs: tuple[str, ...] = ()
    durability: str = "nothing stored"
    "What an answer promises, in words."
    least_warmup: float = 0.0
    "Seconds of load before its measured window; a slow start is not what is measured."
    least_seconds: float = 0.0
    "Length of that window: where an answer takes seconds, a short one catches a wave of them or none."


_ERLANG = ("erl", "erlc")

PEERS = {
    "echo": Peer(is_floor=True),
    "msgpack": Peer(is_floor=True),
    "obvious": Peer(
        stores=True,
        durability="an upsert, synced to disk, a message",
        # With a thousand clients it answers nobody for the first ten seconds.
        least_warmup=12.0,
        least_seconds=8.0,
    ),
    "handwritten-commit": Peer(
        stores=True, needs_modules=("aiosqlite",), durability="a commit, synced to disk, a message"
    ),
    "handwritten-group": Peer(
        stores=True, needs_modules=("aiosqlite",), durability="a commit, synced to disk, every 5 ms"
    ),
    "erlang-memory": Peer(needs_programs=_ERLANG),
    "erlang-durable": Peer(
        stores=True, needs_programs=_ERLANG, durability="a log, synced to disk, in groups"
    ),
}


def missing(name: str) -> str | None:
    """What the peer of that name lacks on this machine, in words; None when it can run."""
    peer = PEERS[name]
    lacking = [module for module in peer.needs_modules if importlib.util.find_spec(module) is None]
    lacking += [program for program in peer.needs_programs if shutil.which(program) is None]
    return f"{', '.join(lacking)} not found" if lacking else None
