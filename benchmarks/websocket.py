"""How many messages a second does Sojourn acknowledge over WebSocket, beside raw TCP?

The same server, the same messages, the same load generator: once with a length before each frame, once as
masked binary WebSocket messages through the HTTP port. 1,000 connections with a session each, one message
outstanding, `full`. Rounds alternate in one run; each ratio is of two neighbouring rounds, each with a new
server and a new file.

Bar: WebSocket reaches 0.7 of TCP's rate. Beside it stands what a message costs the parsers of the two
libraries that were weighed. Measured on the compiled build, six pairs of 3 s: 1.04 (0.81 to 1.21), 38,224
and 37,477 messages/s. With every frame through the library it was 0.66: its parser and writer, Python
objects for each frame, cost 12 µs a message there, though the parser alone takes 3.5 in a loop of its own.

Machine: Linux, two cores; the server on both, the load generator pinned to the second, its CPU beside each
figure. Not measured: a network, TLS, JSON messages (the load generator speaks binary), browsers, the
handshakes.
"""

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path

from .findings import ANSWERS, Answer, Finding, command_line
from .harness import Comparison, Round, Spread, alternate, describe, play, progress
from .loadgen import Load, LoadgenError, compiled
from .machine import machine, scratch
from .servers import HarnessError, default_cores, sojourn
from .websocket_parsers import costs

BAR = 0.7


def compare(load: Load, rounds: int, directory: Path | None) -> Comparison:
    """Rounds over WebSocket, each followed by one over TCP."""
    floor_cores, load_cores = default_cores()
    both = None if floor_cores is None or load_cores is None else (*floor_cores, *load_cores)

    def over(kind: Load) -> Round:
        with scratch(directory) as place:
            server = sojourn(place / "sessions.db", "--http-port", "0")
            return play(server, kind, server_cores=both, load_cores=load_cores)

    return alternate(lambda: over(replace(load, websocket=True)), lambda: over(load), rounds)


def findings_of(comparison: Comparison, load: Load, *, judged: bool) -> list[Finding]:
    """The ratio with its bar, and both rates."""
    where = f"{load.connections:,} connections, 1 outstanding, full"
    ratio = Spread.of(comparison.ratios)
    found = [
        Finding(
            what=f"WebSocket over TCP, {where}",
            value=ratio.median,
            low=ratio.low,
            high=ratio.high,
            unit="×",
            bar=BAR if judged else None,
            note=f"{len(comparison.ratios)} pairs of rounds of {load.seconds:g} s",
        )
    ]
    for name, rounds in (("WebSocket", comparison.subject), ("TCP", comparison.floor)):
        rate = Spread.of([r.load.rate for r in rounds])
        cpu = Spread.of([r.load.cpu_utilisation for r in rounds])
        found.append(
            Finding(
                what=f"{name}, {where}",
                value=rate.median,
                low=rate.low,
                high=rate.high,
                unit="messages/s",
                note=f"CPU of the load {cpu.format('.0%')}",
            )
        )
    return found


def parser_findings() -> list[Finding]:
    """What a message costs each parser, and a connection that waits."""
    return [
        Finding(
            what=f"parser of {name}, a message of 150 bytes, 1,000 connections in turn",
            value=cost,
            unit="µs",
            note=f"{size:,.0f} bytes a connection",
        )
        for name, (cost, size) in costs().items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.websocket",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=10, help="of each transport (10)")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured, of each round (4)")
    parser.add_argument("--connections", type=int, default=1000, help="1,000")
    parser.add_argument("--directory", type=Path, help="for the database files (.cache/ in the checkout)")
    parser.add_argument("--quick", action="store_true", help="one round of a second: does it run at all")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer (.cache/bench)")
    arguments = parser.parse_args()
    quick: bool = arguments.quick
    load = Load(connections=arguments.connections, seconds=1.0 if quick else arguments.seconds)
    try:
        compiled()
        comparison = compare(load, 1 if quick else arguments.rounds, arguments.directory)
    except (HarnessError, LoadgenError) as error:
        sys.exit(f"websocket: {error}")
    progress(describe(comparison.subject[-1]))
    answer = Answer(
        question="websocket",
        command=command_line("websocket"),
        machine=machine(arguments.directory),
        findings=[*findings_of(comparison, load, judged=not quick), *parser_findings()],
        detail={"load": asdict(load), "comparison": comparison.summary()},
    )
    answer.save(arguments.into)
    for finding in answer.findings:
        print(finding.format())


if __name__ == "__main__":
    main()
