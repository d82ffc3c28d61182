"""What the value of a setting may be: its type, its range, and that range in words."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from sojourn.actors.config import ACTIVITIES, RuntimeConfig
from sojourn.actors.redaction import BUILT_IN, Redaction


@dataclass(frozen=True)
class Allowed:
    """What a setting may be, in words, for messages and for the table in the documentation."""

    text: str


def number(value: object) -> object:
    """The value as it is; raises ValueError for a boolean, which Python takes for a number."""
    if isinstance(value, bool):
        raise ValueError("a boolean is not a number")  # noqa: TRY004  # pydantic turns only ValueError into a report
    return value


def _duration(value: object) -> object:
    return None if value == "never" else number(value)


def _port_or_off(value: object) -> object:
    return None if value == "off" else number(value)


def _count_or_any(value: object) -> object:
    return None if value == "any" else number(value)


def words(value: object) -> object:
    """A list, or one string with commas between its items: the form of a variable or a flag."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _activities(value: frozenset[str]) -> frozenset[str]:
    if not value <= ACTIVITIES:
        raise ValueError("no such activity")
    return value


def _rules(value: tuple[str, ...]) -> tuple[str, ...]:
    Redaction(value)  # raises ValueError for what is no rule
    return value


def _json(value: dict[str, Any]) -> dict[str, Any]:
    RuntimeConfig(app=value)  # raises ValueError for what JSON does not have, such as a date
    return value


Duration = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
    BeforeValidator(_duration),
    Allowed('above 0, or "never"'),
]
Grace = Annotated[
    Annotated[float, Field(ge=0, allow_inf_nan=False)] | None,
    BeforeValidator(_duration),
    Allowed('0 or more, or "never"'),
]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(number), Allowed("above 0")]
Count = Annotated[int, Field(ge=1), BeforeValidator(number), Allowed("1 or more")]
OptionalCount = Annotated[
    Annotated[int, Field(ge=1)] | None, BeforeValidator(_count_or_any), Allowed('1 or more, or "any"')
]
FrameSize = Annotated[int, Field(ge=1024, le=2**31), BeforeValidator(number), Allowed("1024 to 2147483648")]
Port = Annotated[
    int, Field(ge=0, le=65535), BeforeValidator(number), Allowed("0 to 65535, 0 picks a free one")
]
OptionalPort = Annotated[
    Annotated[int, Field(ge=0, le=65535)] | None,
    BeforeValidator(_port_or_off),
    Allowed('0 to 65535, 0 picks a free one, or "off"'),
]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(words), Allowed("a list of patterns")]
Activities = Annotated[
    frozenset[str],
    NoDecode,
    BeforeValidator(words),
    AfterValidator(_activities),
    Allowed("a list of " + ", ".join(sorted(ACTIVITIES))),
]
Rules = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(words),
    AfterValidator(_rules),
    Allowed("a list of " + ", ".join(sorted(BUILT_IN)) + " and NAME=PATTERN"),
]
AppScope = Annotated[dict[str, Any], AfterValidator(_json), Allowed("a table of values that JSON has")]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], Allowed("debug, info, warning, error")]
