"""Servers to hold Sojourn against, on the same frames: floors that do less, and what one would use instead.

`python -m benchmarks.peers NAME` runs one until SIGTERM; `catalogue` says which there are and what they need.
"""

from .catalogue import PEERS, Peer, missing

__all__ = ["PEERS", "Peer", "missing"]
