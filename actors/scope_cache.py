"""Users' scopes in memory: while they are used, or are not committed yet."""

from collections import OrderedDict
from typing import Final

from .user_scope import UserScope

CACHE_BYTES: Final = 32 << 20
"""What scopes in memory may take, beside those that are not committed yet."""


class ScopeCache:
    """Scopes by user_id. Loop thread only."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._scopes: OrderedDict[str, UserScope] = OrderedDict()
        """The longest unused first."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._scopes)

    def get(self, user_id: str) -> UserScope | None:
        """The user's scope, if it is here and what storage has, or will have."""
        scope = self._scopes.get(user_id)
        if scope is None:
            return None
        if scope.lost:
            self.forget(user_id)
            return None
        self._scopes.move_to_end(user_id)
        return scope

    def holds(self, scope: UserScope) -> bool:
        """Is it this very object that is here?"""
        return self._scopes.get(scope.user_id) is scope

    def put(self, scope: UserScope) -> UserScope:
        """Keep it; the user must have none here."""
        self._scopes[scope.user_id] = scope
        self.grow(scope.size_bytes)
        return scope

    def forget(self, user_id: str) -> None:
        """Let go of the user's scope, if it is here."""
        scope = self._scopes.pop(user_id, None)
        if scope is not None:
            self._bytes -= scope.size_bytes

    def grow(self, more_bytes: int) -> None:
        """What is here takes so much more: let go of the longest unused, but of none that storage does not
        have yet, nor of the newest.
        """
        self._bytes += more_bytes
        for _ in range(len(self._scopes) - 1):
            if self._bytes <= self.most_bytes:
                return
            user_id, scope = next(iter(self._scopes.items()))
            if scope.committed or scope.lost:
                self.forget(user_id)
            else:
                self._scopes.move_to_end(user_id)
