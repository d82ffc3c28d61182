"""Settings: each source and their order, and one clear line for whatever is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors.config import CHANNEL_TIMEOUTS, RuntimeConfig
from sojourn.gateway.cli.serve import server_config
from sojourn.gateway.server import ServerConfig
from sojourn.gateway.settings import Settings
from sojourn.gateway.settings_sources import InvalidSettings, load_settings, unknown_variables

WriteSettings = Callable[[str], Path]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SOJOURN_{name.upper()}", raising=False)


@pytest.fixture
def write(tmp_path: Path) -> WriteSettings:
    def write_settings(text: str) -> Path:
        path = tmp_path / "sojourn.toml"
        path.write_text(text, "utf-8")
        return path

    return write_settings


def test_defaults_are_those_of_the_runtime() -> None:
    assert load_settings().runtime_config() == RuntimeConfig()


def test_defaults_are_those_of_the_server() -> None:
    assert server_config(load_settings()) == ServerConfig()


def test_flag_goes_before_variable_before_file_before_default(
    write: WriteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("port = 1\nkeep_alive = 1\nmax_lifetime = 1\n")
    monkeypatch.setenv("SOJOURN_PORT", "2")
    monkeypatch.setenv("SOJOURN_KEEP_ALIVE", "2")
    settings = load_settings({"port": "3", "host": None}, file)
    assert (settings.port, settings.keep_alive, settings.max_lifetime) == (3, 2.0, 1.0)
    assert settings.host == "127.0.0.1"


def test_variable_and_file_join_in_one_table(write: WriteSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOJOURN_MAXIMA__KEEP_ALIVE", "600")
    settings = load_settings(file=write("[maxima]\nsession_timeout = 7200\n"))
    assert (settings.maxima.keep_alive, settings.maxima.session_timeout) == (600.0, 7200.0)


def test_never_and_off_are_words(write: WriteSettings) -> None:
    settings = load_settings({"http_port": "off"}, write('session_timeout = "never"\nkeep_alive = 0\n'))
    assert settings.session_timeout is None
    assert settings.keep_alive == 0
    assert settings.http_port is None


def test_lists_in_variables_have_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOJOURN_SENSITIVE_KEYS", "*password*, card")
    monkeypatch.setenv("SOJOURN_ACTIVITY", "user_message,human_message")
    config = load_settings().runtime_config()
    assert config.sensitive_keys == ("*password*", "card")
    assert config.activity == {"user_message", "human_message"}


def test_channel_keeps_what_its_table_leaves_out(write: WriteSettings) -> None:
    config = load_settings(
        file=write("keep_alive = 9\n[channels.email]\nmax_lifetime = 5\n[channels.kiosk]\nkeep_alive = 0\n")
    ).runtime_config()
    email, kiosk = config.channels["email"], config.channels["kiosk"]
    assert (email.session_timeout, email.keep_alive, email.max_lifetime) == (CHANNEL_TIMEOUTS["email"], 9, 5)
    assert (kiosk.session_timeout, kiosk.keep_alive, kiosk.max_lifetime) == (3600, 0, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("keep_alve = 3", "keep_alve is no setting; the nearest is keep_alive"),
        ("xyz = 3", "xyz is no setting; there are db, "),
        ("port = 70000", "port is 70000; allowed: 0 to 65535"),
        ("port = true", "port is True; allowed: 0 to 65535"),
        ('http_port = "on"', "http_port is 'on'; allowed: 0 to 65535, 0 picks a free one, or \"off\""),
        ("session_timeout = 0", 'session_timeout is 0; allowed: above 0, or "never"'),
        ("session_timeout = nan", 'session_timeout is nan; allowed: above 0, or "never"'),
        ("session_timeout = inf", 'session_timeout is inf; allowed: above 0, or "never"'),
        ("keep_alive = -1", 'keep_alive is -1; allowed: 0 or more, or "never"'),
        ("max_live = 0", "max_live is 0; allowed: 1 or more"),
        ("max_frame_bytes = 10", "max_frame_bytes is 10; allowed: 1024 to 2147483648"),
        ('durability = "some"', "durability is 'some'; allowed: full, relaxed, memory"),
        ('log_level = "loud"', "log_level is 'loud'; allowed: debug, info, warning, error"),
        ('activity = ["tagg"]', "allowed: a list of ai_message, "),
        ("sensitive_keys = 3", "sensitive_keys is 3; allowed: a list of patterns"),
        ("channels = 3", "channels is 3; allowed: a table of timers a channel"),
        (
            "[channels.voice]\nsession_timout = 3",
            "channels.voice.session_timout is no setting; the nearest is session_timeout",
        ),
        ("[channels.voice]\nkeep_alive = -3", "channels.voice.keep_alive is -3; allowed: 0 or more"),
        ("[maxima]\nkeep_alive = 0", "maxima.keep_alive is 0; allowed: above 0"),
        ("port = = 3", "not TOML"),
        ('db = "a"\ndurability = "memory"', "durability is memory, which keeps no file: leave out db (a)"),
    ],
)
def test_wrong_file_is_told_in_one_line(write: WriteSettings, text: str, says: str) -> None:
    file = write(text)
    with pytest.raises(InvalidSettings) as caught:
        load_settings(file=file)
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert str(file) in message or "leave out db" in message
    assert not caught.value.usage


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"nowhere\.toml: cannot be read: No such file"):
        load_settings(file=tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"port": "x"}, "--port is 'x'; allowed: 0 to 65535"),
        ({"http_port": "77777"}, "--http-port is '77777'; allowed: 0 to 65535"),
        ({"session_timeout": "soon"}, "--session-timeout is 'soon'; allowed: above 0"),
        ({"durability": "memory", "db": "a.db"}, "durability is memory, which keeps no file"),
    ],
)
def test_wrong_flag_is_a_usage_error(flags: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load_settings(flags)
    assert says in str(caught.value)
    assert caught.value.usage


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("SOJOURN_PORT", "x", "SOJOURN_PORT is 'x'; allowed: 0 to 65535"),
        ("SOJOURN_MAXIMA__KEEP_ALIVE", "-3", "SOJOURN_MAXIMA__KEEP_ALIVE is '-3'; allowed: above 0"),
        ("SOJOURN_MAXIMA__KEP_ALIVE", "3", "MAXIMA__KEP_ALIVE is no setting; the nearest is keep_alive"),
        ("SOJOURN_MAXIMA", "{", "maxima"),
    ],
)
def test_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSettings) as caught:
        load_settings()
    assert says in str(caught.value)


def test_file_is_blamed_for_its_own_key_beside_a_sound_variable(
    write: WriteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOJOURN_MAXIMA__SESSION_TIMEOUT", "7200")
    file = write("[maxima]\nkeep_alive = -1\n")
    with pytest.raises(InvalidSettings) as caught:
        load_settings(file=file)
    assert str(caught.value).startswith(f"{file}: maxima.keep_alive is -1")


def test_memory_has_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOJOURN_DURABILITY", "memory")
    assert load_settings().path is None


def test_misspelt_variable_is_a_warning() -> None:
    variables = {"SOJOURN_PROT": "1", "SOJOURN_PORT": "2", "SOJOURN_MAXIMA__KEEP_ALIVE": "3", "PATH": "x"}
    assert unknown_variables(variables) == ["SOJOURN_PROT is no setting and is ignored; the nearest is port"]
