"""What the handlers of a session's requests ask of the wider scopes: the merged view, a checked patch.

A user's scope may have to be read first. Then the mailbox is held, and the request handled again.
"""

from collections.abc import Mapping
from typing import Any

from .context import USER_PREFIX, own_part
from .errors import InvalidRequest
from .scopes import merged_view, user_part
from .session import WAITING, SessionActor, Waiting
from .user_scope import Change, UserScope

Json = Any


def scope_of(actor: SessionActor) -> UserScope | Waiting | None:
    """The scope of the session's user; None: it has no user. `WAITING`: it is being loaded, and the request
    is handled again when it is there.
    """
    user_id: str | None = actor.session.user_map().get("user_id")
    if user_id is None:
        return None
    scopes = actor.shared.scopes
    scope = scopes.of(user_id)
    if scope is not None:
        return scope
    scopes.load(user_id, lambda _scope: actor.again(), actor.failed_read)
    return WAITING


def checked_patch(
    actor: SessionActor, patch: Mapping[str, Json], expected_user_version: int | None = None
) -> Change | Waiting | None:
    """Raise the `SessionError` that says why a patch may not be merged, before anything is recorded.

    A `Change` is the user's part of it, to be kept behind the event; None: it has none. `WAITING` is to be
    returned by the handler as it is: it is called again when the user's scope is in memory.
    """
    shared = actor.shared
    session = actor.session
    own = own_part(patch)
    if own is patch and expected_user_version is None:
        shared.merged(session.context_map(), patch)
        return None
    scope = scope_of(actor)
    if scope is WAITING:
        return WAITING
    if scope is None:
        raise InvalidRequest(
            "this session has no user_id: there is no user's scope to write to",
            session_id=session.session_id,
            details={"key": "context", "expected": "no key that begins with 'user.'", "got": USER_PREFIX},
        )
    assert isinstance(scope, UserScope)
    change = shared.scopes.checked(scope, user_part(patch), expected_user_version)
    shared.merged(session.context_map(), own)
    return None if own is patch else change


def view_of(actor: SessionActor, scope: UserScope | None, *, app: bool) -> dict[str, Json]:
    """The merged view of a session as everybody may see it; `app`: with the operator's scope. It is answered
    behind the commit of what it shows.
    """
    if scope is not None and not scope.committed:
        actor.join()
    shared = actor.shared
    view = merged_view(
        actor.session.context_map(),
        {} if scope is None else scope.values(),
        shared.scopes.app if app else {},
    )
    masked: dict[str, Json] = shared.sensitive.masked(view)
    return masked
