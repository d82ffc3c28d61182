"""What can go wrong with a session, as an answer to whoever asked.

    SessionError
    ├── SessionNotFound      never existed, or erased
    ├── SessionExpired       gone for good: make a new one
    ├── SessionClosed        closed, and this request does not reopen: reopen it first
    ├── IllegalState         the request does not fit the session's state
    ├── VersionConflict      read the context again, then retry
    ├── ContextTooLarge      a limit, named in the details
    ├── InvalidRequest       a value is not what the rules allow
    ├── TooManySessions      the server's limit on sessions
    ├── TooManyAttachments   the connection's limit
    ├── Overloaded           the mailbox is full: wait `retry_after` seconds
    ├── Draining             the server is going down: connect again later
    ├── StorageFailed        not stored, not done: retry
    └── InternalError        our fault; `details.error_id` is in the log

Each carries `code` (the wire's), `session_id`, `details` and `retry_after` (seconds).
"""

from typing import Any, ClassVar


class SessionError(Exception):
    """A request that was refused and changed nothing."""

    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        session_id: str | None = None,
        details: dict[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.session_id = session_id
        self.details = details
        self.retry_after = retry_after


class SessionNotFound(SessionError):
    code = "session_not_found"


class SessionExpired(SessionError):
    code = "session_expired"


class SessionClosed(SessionError):
    code = "session_closed"


class IllegalState(SessionError):
    code = "illegal_state"


class VersionConflict(SessionError):
    code = "version_conflict"


class ContextTooLarge(SessionError):
    code = "context_too_large"


class InvalidRequest(SessionError):
    code = "invalid_payload"


class TooManySessions(SessionError):
    code = "too_many_sessions"


class TooManyAttachments(SessionError):
    code = "too_many_attachments"


class Overloaded(SessionError):
    code = "overloaded"


class Draining(SessionError):
    code = "draining"


class StorageFailed(SessionError):
    code = "storage_failed"


class InternalError(SessionError):
    code = "internal_error"
