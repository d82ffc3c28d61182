"""When a server writes: at the end of each turn of its loop, and within a turn when a commit has answered."""

from asyncio import AbstractEventLoop

from sojourn.actors.commits import GroupCommit

from .connection import Connection


class Flushing:
    """The connections of one server that have something to write. Loop thread only."""

    __slots__ = ("_commits", "_dirty", "_loop")

    def __init__(self, loop: AbstractEventLoop, commits: GroupCommit) -> None:
        self._loop = loop
        self._commits = commits
        self._dirty: list[Connection] = []

    def soon(self, connection: Connection) -> None:
        """Have what waits on a connection written at the end of this turn, with what comes until then."""
        dirty = self._dirty
        if not dirty:
            self._loop.call_soon(self.flush)
        dirty.append(connection)

    def after_read(self) -> None:
        """Pace the commits within a long turn; who is answered by one need not wait for the turn's end."""
        if self._commits.pace():
            self.flush()

    def flush(self) -> None:
        """Write all that waits."""
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.flush()
