"""What an operator can set, with the range and the default of each.

The names are the same in the settings file, in the environment and on the command line: `session_timeout` is
`SOJOURN_SESSION_TIMEOUT` and `--session-timeout`; a key of a table is joined with two underscores
(`SOJOURN_MAXIMA__KEEP_ALIVE`). Durations are seconds, or "never". `settings_sources.py` reads them.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sojourn.actors.config import (
    CHANNEL_TIMEOUTS,
    MOST_HISTORY,
    Durability,
    InterruptedTurns,
    QueueOrder,
    RuntimeConfig,
    SessionConfig,
    SessionMaxima,
    TurnPolicy,
)

from .setting_kinds import (
    Activities,
    Allowed,
    AppScope,
    Count,
    Duration,
    FrameSize,
    Grace,
    LogLevel,
    OptionalCount,
    OptionalPort,
    Port,
    Rules,
    Seconds,
    Words,
    number,
)
from .setting_tables import ChannelTimers, Maxima, WebhookSettings

PREFIX = "SOJOURN_"
StoreKind = Literal["auto", "process", "thread"]

_SESSION = SessionConfig()
_RUNTIME = RuntimeConfig()


class Settings(BaseSettings):
    """All of it, checked; made by `load_settings` of `settings_sources.py`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
    )

    db: Annotated[Path, Allowed("a path")] = Field(Path("sojourn.db"), description="The database file.")
    durability: Annotated[Durability, Allowed("full, relaxed, memory")] = Field(
        "full",
        description="What an acknowledgement means: on disk, survives power loss; "
        "survives the death of the process; survives nothing (and `db` is refused with it).",
    )
    store: Annotated[StoreKind, Allowed("auto, process, thread")] = Field(
        "auto",
        description="Who writes the file: a process of its own, or a thread of the server's; `auto` is the "
        "process where there are two cores or more.",
    )
    host: Annotated[str, Allowed("a name or an address")] = Field(
        "127.0.0.1", description="Where to listen; beyond loopback only with care: nothing is authenticated."
    )
    port: Port = Field(7411, description="TCP port.")
    http_port: OptionalPort = Field(7412, description="HTTP port.")
    log_level: LogLevel = Field("info", description="Least severity that is logged, on standard error.")

    session_timeout: Duration = Field(
        _SESSION.session_timeout, description="Seconds of the user's silence until a session expires."
    )
    keep_alive: Grace = Field(
        _SESSION.keep_alive, description="Seconds in which a closed session can be reopened."
    )
    max_lifetime: Duration = Field(
        _SESSION.max_lifetime, description="Seconds from creation to expiry, whatever happens."
    )
    dialog_timeout: Duration = Field(
        _SESSION.dialog_timeout,
        description="Seconds after the user's last message until the AI's memory of the talk lapses.",
    )
    retention: Duration = Field(
        _SESSION.retention,
        description="Seconds after its end until a session goes with its history, for good.",
    )
    channels: Annotated[dict[str, ChannelTimers], Allowed("a table of timers a channel")] = Field(
        default_factory=dict[str, ChannelTimers], description="Timers by channel."
    )
    maxima: Annotated[Maxima, Allowed("a table of timers")] = Field(
        default_factory=lambda: Maxima.model_validate({}),
        description="The most that one session may ask for.",
    )
    activity: Activities = Field(
        _RUNTIME.activity, description="What counts as the user's activity; `reopen` means one by the user."
    )

    passivate_after: Seconds = Field(
        _RUNTIME.passivate_after, description="Seconds without a request until a session leaves memory."
    )
    max_live: Count = Field(_RUNTIME.max_live, description="Sessions in memory at once.")
    mailbox_limit: Count = Field(
        _RUNTIME.mailbox_limit, description="Requests that may wait for one session; beyond, `overloaded`."
    )
    max_context_bytes: Count = Field(_RUNTIME.max_context_bytes, description="Size of a context as msgpack.")
    max_context_keys: Count = Field(_RUNTIME.max_context_keys, description="Top-level keys of a context.")
    max_attachments: Count = Field(
        _RUNTIME.max_attachments, description="Sessions that one connection may be attached to."
    )
    snapshot_every: Count = Field(
        _RUNTIME.snapshot_every, description="Events of one session between two snapshots while it is live."
    )
    sensitive_keys: Words = Field(
        _RUNTIME.sensitive_keys, description="Patterns (`*`, `?`) of context keys that read as `***`."
    )
    redact: Rules = Field(
        _RUNTIME.redact,
        description="What people write is kept without these: `[email]` stands for an address, and so on; "
        "`NAME=PATTERN` (RE2) is a rule of your own.",
    )

    app: AppScope = Field(
        default_factory=dict[str, Any],
        description="The operator's scope of the context: read as `app.…` by handlers, agents and services.",
    )

    human_timeout: Duration = Field(
        _RUNTIME.human_timeout,
        description="Seconds that a user waits for a human's answer, and that a human may be gone, "
        "before their session goes back to its queue.",
    )
    queue_timeout: Duration = Field(
        _RUNTIME.queue_timeout, description="Seconds in a queue after which the AI has the session again."
    )
    queue_order: Annotated[QueueOrder, Allowed("longest_wait, shortest_wait, silent_longest")] = Field(
        _RUNTIME.queue_order,
        description="Which session of a queue is next: who waits for the longest or shortest time, "
        "or the user who has been silent for the longest.",
    )
    max_held: OptionalCount = Field(
        _RUNTIME.max_held,
        description="Sessions that one human may hold at once; beyond, `too_many_sessions`.",
    )

    agent: Annotated[str | None, Allowed("MODULE:FUNCTION")] = Field(
        None, description="Who answers users while no human does: a function of your own."
    )
    dialog: Annotated[str | None, Allowed("a file")] = Field(
        None, description="A dialog file that answers users instead of an `agent`."
    )
    turn_policy: Annotated[TurnPolicy, Allowed("cancel, queue, reject")] = Field(
        _RUNTIME.turn_policy,
        description="When the user speaks again while the agent answers: the answer is cut; "
        "the message waits for it; the message is refused.",
    )
    turn_timeout: Duration = Field(_RUNTIME.turn_timeout, description="Seconds that a turn may take.")
    max_turns: Count = Field(_RUNTIME.max_turns, description="Turns that run at once; others wait.")
    handler_threads: Count = Field(
        _RUNTIME.handler_threads, description="Turns of a plain function that run at once, each in a thread."
    )
    turn_history: Annotated[
        int, Field(ge=1, le=MOST_HISTORY), BeforeValidator(number), Allowed(f"1 to {MOST_HISTORY}")
    ] = Field(_RUNTIME.turn_history, description="Events that a turn looks back.")
    max_answer_bytes: Count = Field(
        _RUNTIME.max_answer_bytes, description="Text that one turn may write; beyond, it fails."
    )
    fallback_text: Annotated[str | None, Allowed("a text")] = Field(
        _RUNTIME.fallback_text, description="What the user is told when the agent fails."
    )
    fallback_queue: Annotated[str | None, Allowed("a queue")] = Field(
        _RUNTIME.fallback_queue, description="Where a session goes when the agent fails on it."
    )
    interrupted_turns: Annotated[InterruptedTurns, Allowed("fail, rerun")] = Field(
        _RUNTIME.interrupted_turns, description="What becomes of turns that ran when the process died."
    )
    slow_handler: Seconds = Field(
        _RUNTIME.slow_handler,
        description="Seconds that an agent may hold the event loop before it is named in the log.",
    )

    webhooks: Annotated[tuple[WebhookSettings, ...], Allowed("a list of tables")] = Field(
        (), description="Receivers of events, each with `url`, `secret` and `events`."
    )

    insights: Annotated[bool, Allowed("true, false")] = Field(
        default=True,
        description="Gather search and statistics beside the database, in a process of its own.",
    )

    max_frame_bytes: FrameSize = Field(65_536, description="Longest frame to the server.")
    max_reply_bytes: FrameSize = Field(1 << 20, description="Longest frame from the server.")
    max_output_bytes: Count = Field(
        4 << 20, description="Output that may wait for one connection; beyond, `goodbye slow_consumer`."
    )
    max_connections: Count = Field(
        100_000, description="Connections at once; beyond, `goodbye too_many_connections`."
    )
    allowed_origins: Words = Field(
        (),
        description="Sites besides this server's own pages whose pages may talk to the HTTP port: "
        "`https://chat.example.org`, or `*`.",
    )
    allowed_hosts: Words = Field(
        (),
        description="Names besides loopback's and `host` under which the HTTP port may be reached: "
        "`chat.example.org`, or `*`.",
    )
    drain_timeout: Seconds = Field(10.0, description="Seconds in which what is in flight may end at a stop.")

    @model_validator(mode="after")
    def _memory_has_no_file(self) -> Self:
        if self.durability == "memory" and "db" in self.model_fields_set:
            raise ValueError(f"durability is memory, which keeps no file: leave out db ({self.db})")
        return self

    @property
    def path(self) -> str | None:
        """The database file, or None where nothing is kept."""
        return None if self.durability == "memory" else str(self.db)

    def runtime_config(self) -> RuntimeConfig:
        """The part that the runtime needs."""
        everywhere = {
            "session_timeout": self.session_timeout,
            "keep_alive": self.keep_alive,
            "max_lifetime": self.max_lifetime,
            "dialog_timeout": self.dialog_timeout,
            "retention": self.retention,
        }
        channels = {
            name: SessionConfig(
                **everywhere
                | ({"session_timeout": CHANNEL_TIMEOUTS[name]} if name in CHANNEL_TIMEOUTS else {})
                | timers.model_dump(include=timers.model_fields_set)
            )
            for name, timers in self.channels.items()
        }
        return RuntimeConfig(
            session=SessionConfig(**everywhere),
            channels=channels,
            maxima=SessionMaxima(**self.maxima.model_dump()),
            activity=self.activity,
            passivate_after=self.passivate_after,
            max_live=self.max_live,
            mailbox_limit=self.mailbox_limit,
            max_context_bytes=self.max_context_bytes,
            max_context_keys=self.max_context_keys,
            max_attachments=self.max_attachments,
            snapshot_every=self.snapshot_every,
            sensitive_keys=self.sensitive_keys,
            redact=self.redact,
            human_timeout=self.human_timeout,
            queue_timeout=self.queue_timeout,
            queue_order=self.queue_order,
            max_held=self.max_held,
            app=self.app,
            turn_policy=self.turn_policy,
            turn_timeout=self.turn_timeout,
            max_turns=self.max_turns,
            handler_threads=self.handler_threads,
            turn_history=self.turn_history,
            max_answer_bytes=self.max_answer_bytes,
            fallback_text=self.fallback_text,
            fallback_queue=self.fallback_queue,
            interrupted_turns=self.interrupted_turns,
            slow_handler=self.slow_handler,
        )
