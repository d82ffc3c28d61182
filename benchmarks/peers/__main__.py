"""Runs one peer until SIGTERM; prints `ready tcp=HOST:PORT` when it takes connections."""

import argparse
import contextlib
import sys
from pathlib import Path

from .catalogue import PEERS, missing


def run(name: str, host: str, port: int, db: Path | None) -> None:
    """Each peer imports only what it needs, which may not be installed for the others."""
    kind, _, mode = name.partition("-")
    if kind == "erlang":
        from . import erlang  # noqa: PLC0415

        erlang.serve(mode, host, port, db)
    if kind == "obvious":
        from . import obvious  # noqa: PLC0415

        assert db is not None
        obvious.serve(host, port, db)
        return
    import uvloop  # noqa: PLC0415

    if kind == "handwritten":
        from . import handwritten  # noqa: PLC0415

        assert db is not None
        uvloop.run(handwritten.serve(mode, host, port, db))
    else:
        from . import floors  # noqa: PLC0415

        uvloop.run(floors.serve(floors.EchoPeer if kind == "echo" else floors.MsgpackPeer, host, port))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("peer", choices=sorted(PEERS))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--db", type=Path, help="the new file of a peer that stores messages")
    arguments = parser.parse_args()
    if reason := missing(arguments.peer):
        sys.exit(f"{arguments.peer} cannot run here: {reason}")
    if PEERS[arguments.peer].stores and arguments.db is None:
        parser.error(f"{arguments.peer} stores messages: --db FILE is needed")
    with contextlib.suppress(KeyboardInterrupt):
        run(arguments.peer, arguments.host, arguments.port, arguments.db)


if __name__ == "__main__":
    main()
