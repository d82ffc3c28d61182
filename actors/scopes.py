"""Context in three scopes: the session's own, its user's across sessions, and the operator's for all.

In a patch and in the merged view a top-level key says whose it is: `user.language` is the user's, `app.name`
the operator's, which nobody writes, every other the session's. A session's actor owns its own context; what
belongs to a user has one owner too, `Scopes`, in which the changes of all sessions of that user are merged
one after the other. A change goes into the same commit as the event of the session that made it, and that
event's `patch` holds it: the history says who changed what.

Scopes are in memory while they are used: a bounded number of bytes, and whatever is not committed yet.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from sojourn.storage import ScopeRow

from .commits import Then
from .context import APP_PREFIX, USER_PREFIX, SensitiveKeys, check_patch, check_size, merge_patch
from .errors import InvalidRequest, VersionConflict
from .packing import EMPTY_MAP, pack, unpack
from .scope_cache import CACHE_BYTES, ScopeCache
from .user_scope import FIRST_VERSION, Change, UserScope

if TYPE_CHECKING:
    from .commits import Gathering, GroupCommit
    from .reads import Reads

logger = logging.getLogger(__name__)

Json = Any
OPT_OUT: Final = "opt_out"
"""Key of the user's scope: true where the user wants no broadcasts."""
_LOAD_PAGE: Final = 256
"""Scopes brought into memory by one read."""
_READ_AT_ONCE: Final = 1024
"""Scopes in one job of the reader's thread: whoever waits behind it waits a few milliseconds."""


def merged_view(
    session: Mapping[str, Json], user: Mapping[str, Json], app: Mapping[str, Json]
) -> dict[str, Json]:
    """All three scopes as one map: the session's keys as they are, the others with their prefix."""
    return {
        **session,
        **{USER_PREFIX + key: value for key, value in user.items()},
        **{APP_PREFIX + key: value for key, value in app.items()},
    }


def user_part(patch: Mapping[str, Json]) -> dict[str, Json]:
    """What of a patch is the user's, without the prefix."""
    return {
        key.removeprefix(USER_PREFIX): value for key, value in patch.items() if key.startswith(USER_PREFIX)
    }


class Scopes:
    """Owner of the users' scopes and of the operator's. Loop thread only."""

    def __init__(
        self,
        app: Mapping[str, Json],
        commits: "GroupCommit",
        reads: "Reads",
        sensitive: SensitiveKeys,
        *,
        max_keys: int,
        max_bytes: int,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """`max_keys` and `max_bytes` (as msgpack) bound each user's scope."""
        self._app = pack(dict(app))
        self._commits = commits
        self._reads = reads
        self._sensitive = sensitive
        self._max_keys = max_keys
        self._max_bytes = max_bytes
        self.cache = ScopeCache(cache_bytes)
        self._awaited: dict[
            str, list[tuple[Callable[[UserScope], object], Callable[[Exception], object]]]
        ] = {}
        self._wanted: list[str] = []
        """Those of them that are not being read yet."""
        self._loading = False

    @property
    def app(self) -> dict[str, Json]:
        """The operator's scope; a map of its own for whoever asks, in clear."""
        values: dict[str, Json] = unpack(self._app)
        return values

    # -- finding -----------------------------------------------------------------------------------

    def of(self, user_id: str) -> UserScope | None:
        """The user's scope, if it is in memory; else `load` it. A user who has none has an empty one."""
        return self.cache.get(user_id)

    def load(
        self,
        user_id: str,
        done: Callable[[UserScope], object],
        failed: Callable[[Exception], object],
    ) -> None:
        """Have the user's scope in memory, then call `done` with it, at once if it is there."""
        scope = self.of(user_id)
        if scope is not None:
            done(scope)
            return
        waiting = self._awaited.get(user_id)
        if waiting is not None:
            waiting.append((done, failed))
            return
        self._awaited[user_id] = [(done, failed)]
        self._wanted.append(user_id)
        if not self._loading:
            self._load_next()

    def _load_next(self) -> None:
        """Read those that are wanted now, together: a storm of turns costs a few reads, not one each."""
        if not self._wanted:
            return
        self._loading = True
        page, self._wanted = self._wanted[:_LOAD_PAGE], self._wanted[_LOAD_PAGE:]

        def found(rows: dict[str, ScopeRow]) -> None:
            self._loading = False
            self._load_next()
            for user_id in page:
                # Erased meanwhile, it is here already, and newer than what was read.
                scope = self.of(user_id) or self.cache.put(_scope_of(user_id, rows))
                for done, _ in self._awaited.pop(user_id):
                    _tell(done, scope)

        def broken(error: Exception) -> None:
            self._loading = False
            self._load_next()
            for user_id in page:
                for _, failed in self._awaited.pop(user_id):
                    _tell(failed, error)

        self._reads.ask(_rows_of(page), found, broken)

    async def get(self, user_id: str) -> UserScope:
        """The user's scope, when all of it is committed. Raises the error of a read that failed."""
        while True:
            scope = await self._loaded(user_id)
            if scope.committed:
                return scope
            await _committed(self._commits, scope.batch)

    async def _loaded(self, user_id: str) -> UserScope:
        future: asyncio.Future[UserScope] = asyncio.get_running_loop().create_future()
        self.load(
            user_id,
            lambda scope: None if future.done() else future.set_result(scope),
            lambda error: None if future.done() else future.set_exception(error),
        )
        return await future

    async def read(self, user_ids: Iterable[str]) -> dict[str, dict[str, Json]]:
        """The values of those users whose scope is not empty, in clear; none of them is brought into
        memory.
        """
        found: dict[str, dict[str, Json]] = {}
        absent: list[str] = []
        for user_id in user_ids:
            scope = self.of(user_id)
            if scope is None:
                absent.append(user_id)
            elif scope.packed != EMPTY_MAP:
                found[user_id] = scope.values()
        for start in range(0, len(absent), _READ_AT_ONCE):
            page = absent[start : start + _READ_AT_ONCE]
            rows = await self._reads.get(_rows_of(page))
            for user_id in page:
                scope = self.of(user_id) or _scope_of(user_id, rows)  # it may have changed meanwhile
                if scope.packed != EMPTY_MAP:
                    found[user_id] = scope.values()
        return found

    async def opted_out(self, user_ids: Iterable[str]) -> set[str]:
        """Those users who want no broadcasts."""
        found = await self.read(user_ids)
        return {user_id for user_id, values in found.items() if values.get(OPT_OUT)}

    # -- changing ----------------------------------------------------------------------------------

    def checked(
        self, scope: UserScope, patch: Mapping[str, Json], expected_version: int | None = None
    ) -> Change:
        """What the scope will be with `patch` (keys without prefix) merged in, or raise the `SessionError`
        that says why it may not be.
        """
        if expected_version is not None and expected_version != scope.version:
            raise VersionConflict(
                f"the user's context is at version {scope.version}, not {expected_version}: "
                "read it again, then retry",
                details={"user_version": scope.version},
            )
        check_patch(patch)
        if "" in patch:
            raise InvalidRequest(
                f"context key {USER_PREFIX!r}: a name must follow the prefix",
                details={"key": f"context.{USER_PREFIX}", "expected": "a name behind it", "got": USER_PREFIX},
            )
        self._sensitive.refuse_mask(patch, "context.user")
        values: dict[str, Json] = merge_patch(scope.values(), patch)
        packed = pack(values)
        check_size(values, len(packed), max_keys=self._max_keys, max_bytes=self._max_bytes)
        return Change(scope, packed)

    def keep(self, change: Change, batch: "Gathering") -> None:
        """Make a change happen with the batch that gathers now. Nothing may stand between this and its
        `checked` but other steps of the same handler.
        """
        scope, packed = change
        grown = len(packed) - len(scope.packed)
        scope.packed = packed
        scope.version += 1
        self._await(scope, batch)
        batch.stored.scopes.append(ScopeRow(scope.user_id, scope.version, packed))
        self.cache.grow(grown)

    def erase(self, user_id: str) -> "Gathering":
        """Remove the user's scope with the commit of the batch that is returned."""
        batch = self._commits.gathering
        self.cache.forget(user_id)
        scope = UserScope(user_id)
        self._await(scope, batch)
        batch.stored.scopes.append(ScopeRow(user_id, FIRST_VERSION, None))
        self.cache.put(scope)
        self._commits.arm()
        return batch

    def _await(self, scope: UserScope, batch: "Gathering") -> None:
        """The scope holds what is stored when that batch is; until then it must stay in memory."""
        if scope.batch is batch:
            return
        scope.batch = batch

        def stored() -> None:
            if scope.batch is batch:
                scope.batch = None

        def lost(_error: Exception) -> None:
            if self.cache.holds(scope):
                self.cache.forget(scope.user_id)

        batch.owed.append((Then(stored, lost), None))


def _scope_of(user_id: str, rows: Mapping[str, ScopeRow]) -> UserScope:
    row = rows.get(user_id)
    if row is None or row.context is None:
        return UserScope(user_id)
    return UserScope(user_id, row.version, row.context)


def _rows_of(user_ids: list[str]) -> Callable[[Any], dict[str, ScopeRow]]:
    return lambda reader: reader.scopes(user_ids)


def _tell(who: Callable[[Any], object], what: object) -> None:
    try:
        who(what)
    except Exception:
        logger.exception("a user's scope was read, and nobody could be told")


async def _committed(commits: "GroupCommit", batch: "Gathering | None") -> None:
    """Wait until a batch is committed, or has failed."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(_error: Exception | None = None) -> None:
        if not future.done():
            future.set_result(None)

    commits.after(batch, Then(end, end), None)
    await future
