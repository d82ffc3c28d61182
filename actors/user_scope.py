"""The context of one user: values, version, and whether all of it is stored."""

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .packing import EMPTY_MAP, unpack

if TYPE_CHECKING:
    from .commits import Gathering

Json = Any
FIRST_VERSION: Final = 1
"""Of a user's scope that nobody has written to; +1 at each accepted patch."""
_OVERHEAD: Final = 400
"""Bytes of a scope in memory beside its values and its user_id."""


class UserScope:
    """The context of one user, as it is now. Loop thread only."""

    __slots__ = ("batch", "packed", "user_id", "version")

    def __init__(self, user_id: str, version: int = FIRST_VERSION, packed: bytes = EMPTY_MAP) -> None:
        self.user_id = user_id
        self.version = version
        self.packed = packed
        self.batch: Gathering | None = None
        """The batch with its newest change, until that is committed."""

    def values(self) -> dict[str, Json]:
        """A map of its own for whoever asks, in clear."""
        values: dict[str, Json] = unpack(self.packed)
        return values

    @property
    def committed(self) -> bool:
        """Is all of it stored? If not, it will be, or `lost`."""
        return self.batch is None

    @property
    def lost(self) -> bool:
        """Does it hold what could not be stored? Its batch knows before everybody has been told."""
        return self.batch is not None and self.batch.failed

    @property
    def size_bytes(self) -> int:
        return len(self.packed) + len(self.user_id) + _OVERHEAD


class Change(NamedTuple):
    """A change that was checked, and what the scope will hold; `Scopes.keep` makes it happen."""

    scope: UserScope
    packed: bytes
