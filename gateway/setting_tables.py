"""The settings that are tables of their own."""

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from .receivers import Webhook
from .setting_kinds import Allowed, Count, Duration, Grace, Seconds, words


class ChannelTimers(BaseModel):
    """Timers of the sessions of one channel; what is left out is as for all channels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session_timeout: Duration = Field(None, description="Seconds of the user's silence until expiry.")
    keep_alive: Grace = Field(None, description="Seconds in which a closed session can be reopened.")
    max_lifetime: Duration = Field(None, description="Seconds from creation to expiry, whatever happens.")
    dialog_timeout: Duration = Field(None, description="Seconds until the AI's memory of the talk lapses.")
    retention: Duration = Field(None, description="Seconds after its end until a session goes for good.")


class Maxima(BaseModel):
    """The most that one session may ask for at its creation; "never" means no bound."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session_timeout: Duration = Field(None, description="Longest `session_timeout`, seconds.")
    keep_alive: Duration = Field(None, description="Longest `keep_alive`, seconds.")
    max_lifetime: Duration = Field(None, description="Longest `max_lifetime`, seconds.")
    dialog_timeout: Duration = Field(None, description="Longest `dialog_timeout`, seconds.")


class WebhookSettings(BaseModel):
    """One receiver of events: a table of the list `webhooks`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: Annotated[str, Allowed("an http or https address")] = Field(description="Where to post.")
    secret: Annotated[str, Allowed("whsec_ and 24 to 64 bytes in Base64")] = Field(
        repr=False, description="The key of the signature, known to the receiver."
    )
    events: Annotated[tuple[str, ...], BeforeValidator(words), Allowed("a list of patterns")] = Field(
        ("*",), description="Patterns (`*`, `?`) of events."
    )
    name: Annotated[str, Allowed("a name")] = Field(
        "", description="Under which it is known from one start to the next; the address unless given."
    )
    timeout: Seconds = Field(15.0, description="Seconds that an attempt may take.")
    concurrency: Count = Field(8, description="Attempts at once.")

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        self.webhook()
        return self

    def webhook(self) -> Webhook:
        """What the couriers need; raises ValueError that says what is wrong."""
        return Webhook(**self.model_dump())
