"""What replies, events and errors hold, as JSON Schemas: what documents say of the wire's other direction.

Nobody checks a value by them while serving; the tests hold real traffic against them. Keys may be added to
any of these maps, so readers ignore those that they do not know.
"""

from collections.abc import Mapping
from typing import Final

from .errors import ERROR_CODES, GOODBYE_CODES
from .shape_parts import (
    ANYTHING,
    AUTHOR,
    BOOLEAN,
    COUNT,
    DURATION,
    HANDLING,
    INSTANT,
    LIST,
    MAP,
    ROLE,
    SEQ,
    STRINGS,
    TEXT,
    Schema,
    maps,
    nullable,
    one_of,
    ref,
    shape,
)

_CLOSED: Final = {"reason": nullable(TEXT), "reopen_until": nullable(INSTANT)}
_ACCEPTED: Final = {
    "session_id": TEXT,
    "message_id": TEXT,
    "seq": SEQ,
    "duplicate": BOOLEAN,
    "created": BOOLEAN,
    "reopened": BOOLEAN,
}

REPLIES: Final[Mapping[str, Schema]] = {
    "welcome": shape(
        "The server's answer to `hello`.",
        protocol={"const": 1},
        server=TEXT,
        server_time=INSTANT,
        role=ROLE,
        heartbeat=nullable(DURATION),
        limits=ref("Limits"),
    ),
    "pong": shape("The server is there.", server_time=INSTANT),
    "session:created": shape(
        "The session is stored.",
        session_id=TEXT,
        session=ref("Session"),
        resume_token=nullable({**TEXT, "description": "Lets its holder resume; told once."}),
    ),
    "session:forked": shape(
        "The new session, as the other one was.",
        session_id=TEXT,
        session=ref("Session"),
        resume_token=nullable({**TEXT, "description": "Lets its holder resume; told once."}),
    ),
    "session:resumed": shape(
        "What was missed; pushes go on behind it.",
        session_id=TEXT,
        session=ref("Session"),
        events=maps("AnyEvent"),
        complete={**BOOLEAN, "description": "False: some of them no longer exist."},
        more={**BOOLEAN, "description": "True: go on with `session:history`."},
    ),
    "session:state": shape(
        "The session now.",
        {"context": MAP, "user_version": nullable(COUNT)},
        session_id=TEXT,
        session=ref("Session"),
    ),
    "session:events": shape(
        "A page of the history, oldest first.", session_id=TEXT, events=maps("AnyEvent"), more=BOOLEAN
    ),
    "session:context:updated": shape(
        "The context after the patch.",
        {"user_version": COUNT},
        session_id=TEXT,
        context=MAP,
        context_version={"type": "integer", "minimum": 1},
        seq=SEQ,
    ),
    "session:closed": shape(
        "It is closed; until then it can be reopened.", session_id=TEXT, seq=SEQ, **_CLOSED
    ),
    "session:reopened": shape("It is active again.", session_id=TEXT, session=ref("Session"), seq=SEQ),
    "session:detached": shape("No more is pushed of it.", session_id=TEXT),
    "session:rated": shape("The rating is stored.", session_id=TEXT, seq=SEQ),
    "session:handed_over": shape(
        "It waits for a human.", session_id=TEXT, handling=HANDLING, queue=nullable(TEXT), seq=SEQ
    ),
    "session:assigned": shape("That human has it.", session_id=TEXT, assignee=TEXT, seq=SEQ),
    "session:released": shape("The AI has it again.", session_id=TEXT, seq=SEQ),
    "session:tagged": shape("Its tags now.", session_id=TEXT, tags=STRINGS, seq=SEQ),
    "session:reminder_set": shape("The reminder waits.", session_id=TEXT, name=TEXT, due_at=INSTANT, seq=SEQ),
    "session:page": shape(
        "Sessions, the newest first.",
        sessions=maps("Session"),
        cursor=nullable({**TEXT, "description": "What the next page is asked for with; null at the end."}),
    ),
    "message:accepted": shape("The message is stored.", {"resume_token": nullable(TEXT)}, **_ACCEPTED),
    "message:composing": shape("The others were told.", session_id=TEXT),
    "message:read": shape("The others were told.", session_id=TEXT),
    "broadcast:sent": shape(
        "What became of the broadcast.",
        broadcast_id=TEXT,
        created=COUNT,
        delivered=COUNT,
        reopened=COUNT,
        failed=maps("Missed"),
    ),
    "watching": shape("What waits now; what comes is pushed.", waiting=maps("Waiting"), more=BOOLEAN),
    "session:erased": shape(
        "How much is gone.",
        {"receipt": {**MAP, "description": "What proves that a person was erased."}},
        sessions=COUNT,
        events=COUNT,
    ),
    "webhook:resent": shape("How many are on their way again.", events=COUNT),
    "session:why": shape("What the session waits for, in words for people.", session_id=TEXT, why=MAP),
}
"""By type; `reply_to` comes with each when the request had an `id`."""

_BY: Final = {"by": ref("By")}
_RETURN: Final = {"return_after": nullable(DURATION)}

EVENTS: Final[Mapping[str, Schema]] = {
    "session:created": shape(
        "The first event of each history.",
        {"forked_from": {**MAP, "description": "Which session it was made from, and as of when."}},
        user=ref("User"),
        context=MAP,
        metadata=MAP,
        channel=TEXT,
        timeouts=ref("Timeouts"),
        tags=STRINGS,
        **_BY,
    ),
    "message:received": shape(
        "Somebody said something.",
        {
            "author_id": TEXT,
            "in_reply_to": {**TEXT, "description": "The message that the AI answers."},
            "cut": {**BOOLEAN, "description": "The answer was cut off; this is what was shown of it."},
            "broadcast_id": TEXT,
        },
        author=AUTHOR,
        message_id=TEXT,
        text=nullable(TEXT),
        attachments=nullable(LIST),
        data=ANYTHING,
    ),
    "message:failed": shape(
        "A message could not be answered.", message_id=nullable(TEXT), code=TEXT, message=TEXT
    ),
    "session:context:updated": shape(
        "The context changed.", patch=MAP, context_version={"type": "integer", "minimum": 1}, **_BY
    ),
    "session:closed": shape("The talk is over, for now.", **_CLOSED, **_BY),
    "session:reopened": shape("It goes on.", handling=HANDLING, assignee=nullable(TEXT), **_BY),
    "session:expired": shape(
        "It is over for good. `erased` is pushed only.",
        reason=one_of("inactivity", "keep_alive", "max_lifetime", "erased"),
    ),
    "session:handed_over": shape(
        "It waits for a human.",
        {"note": nullable(TEXT), "reason": TEXT, **_RETURN},
        handling=HANDLING,
        queue=nullable(TEXT),
        **_BY,
    ),
    "session:assigned": shape("A human has it.", _RETURN, assignee=TEXT, **_BY),
    "session:released": shape("The AI has it again.", {"reason": TEXT}, **_BY),
    "session:rated": shape(
        "The user judged it.",
        rating={"type": "integer", "minimum": 1, "maximum": 5},
        feedback=nullable(TEXT),
        **_BY,
    ),
    "session:tagged": shape("Its tags are these.", tags=STRINGS, **_BY),
    "dialog:expired": shape("The AI's memory of the talk lapsed; the context stays."),
    "reminder:set": shape("A reminder waits.", name=TEXT, due_at=INSTANT, data=ANYTHING, **_BY),
    "reminder:fired": shape("Its time has come.", name=TEXT, data=ANYTHING),
    "reminder:cancelled": shape("It will not fire.", name=TEXT, **_BY),
}
"""Durable events by type, without `type`, `session_id`, `seq` and `at`, which each has."""

PASSING: Final[Mapping[str, Schema]] = {
    "message:delta": shape(
        "A piece of a message that is still being written.",
        session_id=TEXT,
        message_id=TEXT,
        index=COUNT,
        text=TEXT,
    ),
    "message:composing": shape(
        "Somebody is writing.", session_id=TEXT, at=INSTANT, action=one_of("start", "stop"), **_BY
    ),
    "message:read": shape("Somebody has read so far.", session_id=TEXT, at=INSTANT, read_seq=COUNT, **_BY),
}
"""Pushed events that are not stored, by type."""

ERROR: Final = shape(
    "The request is refused; nothing was changed.",
    {
        "session_id": TEXT,
        "retry_after": {**DURATION, "description": "Seconds until it may be sent again."},
        "details": MAP,
    },
    code=one_of(*ERROR_CODES),
    message={**TEXT, "description": "For people."},
)
GOODBYE: Final = shape(
    "The last frame before the server closes.",
    {"retry_after": DURATION},
    code=one_of(*GOODBYE_CODES),
    message=TEXT,
    reconnect={**BOOLEAN, "description": "Coming back may help."},
)
