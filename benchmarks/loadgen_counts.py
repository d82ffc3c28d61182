"""What a process that generates load counts. Latencies go into buckets: a long run needs no more room."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

SUB_BITS: Final = 7
"""128 buckets of latencies to a power of two: 0.8 % wide."""


@dataclass(kw_only=True)
class Counts:
    """What a process counted; those of several add up."""

    created: int = 0
    sent: int = 0
    answered: int = 0
    unsent: int = 0
    measured: int = 0
    errors: int = 0
    strays: int = 0
    pushes: int = 0
    disconnects: int = 0
    frame_bytes: int = 0
    latencies: Counter[int] = field(default_factory=Counter[int])
    "Answers by bucket of their latency."
    latency_sum: int = 0
    latency_max: int = 0
    "Nanoseconds, like `latency_sum`."
    late_max: float = 0.0
    cpu_seconds: float = 0.0
    codes: Counter[str] = field(default_factory=Counter[str])
    first_error: str = ""

    def record(self, seconds: float) -> None:
        nanoseconds = max(0, int(seconds * 1e9))
        self.latencies[bucket_of(nanoseconds)] += 1
        self.latency_sum += nanoseconds
        self.latency_max = max(self.latency_max, nanoseconds)


def bucket_of(nanoseconds: int) -> int:
    """The bucket of a latency, 0 or more."""
    shift = nanoseconds.bit_length() - 1 - SUB_BITS
    return nanoseconds if shift < 0 else ((shift + 1) << SUB_BITS) + (nanoseconds >> shift) - (1 << SUB_BITS)


def bucket_top(bucket: int) -> int:
    """The longest latency of a bucket, nanoseconds."""
    shift = (bucket >> SUB_BITS) - 1
    if shift < 0:
        return bucket
    return (((1 << SUB_BITS) + (bucket & ((1 << SUB_BITS) - 1)) + 1) << shift) - 1
