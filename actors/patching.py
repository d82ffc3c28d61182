"""Patches of a session's context, alone or beside a message."""

from collections.abc import Mapping
from typing import Any

from .answers import ContextUpdated
from .errors import VersionConflict
from .lifecycle import On, permit
from .mail import Request
from .messages import UpdateContext
from .scoping import checked_patch, view_of
from .session import SessionActor, Waiting


def on_update_context(actor: SessionActor, request: UpdateContext) -> ContextUpdated | Waiting:
    session = actor.session
    at = actor.pass_time(request.now)
    permit(session.status, On.CONTEXT_UPDATE, session.session_id)
    version = session.context_version
    if request.expected_version is not None and request.expected_version != version:
        raise VersionConflict(
            f"the context is at version {version}, not {request.expected_version}: read it again, then retry",
            session_id=session.session_id,
            details={"context_version": version},
        )
    change = checked_patch(actor, request.patch, request.expected_user_version)
    if isinstance(change, Waiting):
        return change
    if request.attach and request.origin is not None:
        actor.attach(request.origin)
    merge(actor, request, request.patch, at)
    if change is not None:
        actor.shared.scopes.keep(change, actor.join())
        return ContextUpdated(
            session.session_id,
            view_of(actor, change.scope, app=False),
            session.context_version,
            session.seq,
            change.scope.version,
        )
    return ContextUpdated(
        session.session_id,
        actor.shared.sensitive.masked(session.context_map()),
        session.context_version,
        session.seq,
    )


def merge(actor: SessionActor, request: Request, patch: Mapping[str, Any], at: float) -> None:
    """Let the session's own context be patched, with a patch that `checked_patch` has seen."""
    flags = actor.shared.flags_of("context_update")
    payload = {
        "patch": patch,
        "context_version": actor.session.context_version + 1,
        "by": request.by.as_map(),
    }
    actor.record("session:context:updated", payload, at, flags, request.origin)
