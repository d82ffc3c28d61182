"""Settings are checked when they are made, and say which one is wrong."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from sojourn.actors.config import ACTIVITIES, CHANNEL_TIMEOUTS, RuntimeConfig, SessionConfig, SessionMaxima

DURATIONS = ("session_timeout", "keep_alive", "max_lifetime", "dialog_timeout")
COUNTS = (
    "max_live",
    "mailbox_limit",
    "max_context_bytes",
    "max_context_keys",
    "max_attachments",
    "snapshot_every",
    "restart_intensity",
)
NO_DURATION: tuple[Any, ...] = (
    *(-1, -0.001, math.inf, -math.inf, math.nan, True, "60"),
    pytest.param(10**400, id="more than a float holds"),
)


def test_the_defaults_are_those_of_the_design() -> None:
    session = SessionConfig()
    assert [getattr(session, name) for name in DURATIONS] == [3600.0, 120.0, None, None]
    config = RuntimeConfig()
    assert config.session == session
    assert config.maxima == SessionMaxima()
    assert config.activity == {"user_message", "reopen"}
    assert (config.max_context_keys, config.max_context_bytes) == (100, 32_768)
    assert (config.mailbox_limit, config.max_attachments) == (1000, 10_000)
    assert (config.restart_intensity, config.restart_period) == (3, 10.0)


def test_channels_have_the_timeouts_of_the_protocol() -> None:
    day = 86_400
    assert RuntimeConfig().channel_timeouts == {
        "voice": 300,
        **dict.fromkeys(("messenger", "instagram", "whatsapp", "viber", "sms", "rcs"), 7 * day),
        **dict.fromkeys(("intercom", "zendesk", "front", "http"), day),
        "email": 15 * day,
    }


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize("value", NO_DURATION)
def test_a_timer_that_cannot_be_is_refused_by_name(name: str, value: Any) -> None:
    for kind in (SessionConfig, SessionMaxima):
        with pytest.raises(ValueError, match=name):
            kind(**{name: value})


@pytest.mark.parametrize("name", DURATIONS)
def test_a_timer_may_be_never_and_as_short_as_one_likes(name: str) -> None:
    for value in (None, 1, 1e-6, 1e9):
        assert getattr(SessionConfig(**{name: value}), name) == value
        assert getattr(SessionMaxima(**{name: value}), name) == value


@pytest.mark.parametrize("name", DURATIONS)
def test_only_the_grace_period_may_be_nothing(name: str) -> None:
    if name == "keep_alive":
        assert SessionConfig(keep_alive=0).keep_alive == 0
    else:
        with pytest.raises(ValueError, match=f"{name} must be above 0"):
            SessionConfig(**{name: 0})


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "5", math.nan])
def test_a_count_that_cannot_be_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        RuntimeConfig(**{name: value})


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_may_be_one(name: str) -> None:
    one: dict[str, Any] = {name: 1}
    assert getattr(RuntimeConfig(**one), name) == 1


@pytest.mark.parametrize("name", ["passivate_after", "restart_period"])
@pytest.mark.parametrize("value", [*NO_DURATION, 0, None])
def test_what_cannot_be_switched_off_needs_a_time(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        RuntimeConfig(**{name: value})


@pytest.mark.parametrize("value", [*NO_DURATION, 0])
def test_the_timeout_of_a_channel_is_checked_and_named(value: Any) -> None:
    with pytest.raises(ValueError, match=r"channel_timeouts\['fax'\]"):
        RuntimeConfig(channel_timeouts={"voice": 60, "fax": value})


def test_an_activity_that_does_not_exist_is_named_beside_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"\['typing'\].*\['ai_message', .*'user_message'\]"):
        RuntimeConfig(activity=frozenset({"user_message", "typing"}))
    assert RuntimeConfig(activity=ACTIVITIES).activity == ACTIVITIES
    assert RuntimeConfig(activity=frozenset()).activity == frozenset()


@pytest.mark.parametrize("kind", [SessionConfig, SessionMaxima, RuntimeConfig])
def test_settings_do_not_change_once_they_are_made(kind: type[Any]) -> None:
    config = kind()
    name = dataclasses.fields(config)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, name, None)
    with pytest.raises(TypeError):
        kind(3600.0)


def test_runtimes_do_not_share_what_can_be_changed() -> None:
    assert RuntimeConfig().channel_timeouts is not RuntimeConfig().channel_timeouts
    assert RuntimeConfig().channel_timeouts is not CHANNEL_TIMEOUTS
