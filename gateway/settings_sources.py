"""Where each setting comes from: flags, then `SOJOURN_*` variables, then the file, then the defaults.

The file is TOML. Whatever is wrong is told in one line that names the place, the value, what is allowed,
and the nearest known name.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsError,
    TomlConfigSettingsSource,
)

from .errors import GatewayError
from .setting_kinds import Allowed
from .setting_tables import ChannelTimers, Maxima, WebhookSettings
from .settings import PREFIX, Settings


class InvalidSettings(GatewayError):
    """A setting that cannot be used; the message names where it stands and what is allowed.

    `usage` is true when a flag is at fault rather than the file or the environment.
    """

    def __init__(self, message: str, *, usage: bool = False) -> None:
        super().__init__(message)
        self.usage = usage


def load_settings(flags: Mapping[str, object] | None = None, file: Path | None = None) -> Settings:
    """The settings in force; a flag that is None was not given.

    Raises `InvalidSettings` for a file that cannot be read, an unknown key, or a value out of range.
    """
    given: dict[str, Any] = {name: value for name, value in (flags or {}).items() if value is not None}
    in_file = _read(file) if file else {}

    class Read(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the library's signature
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            if file is None:
                return init_settings, env_settings
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

    try:
        return Read(**given)
    except SettingsError as error:
        raise InvalidSettings(f"environment: {error}") from error
    except ValidationError as error:
        raise _report(error, given, in_file, file) from error


def unknown_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """One warning for each `SOJOURN_*` variable that means nothing: it is ignored, and probably misspelt."""
    warnings: list[str] = []
    for variable in sorted(os.environ if environment is None else environment):
        if not variable.startswith(PREFIX) or variable == f"{PREFIX}DEBUG":
            continue
        name = variable.removeprefix(PREFIX).lower().partition("__")[0]
        if name not in Settings.model_fields:
            warnings.append(f"{variable} is no setting and is ignored{_nearest(name, Settings.model_fields)}")
    return warnings


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InvalidSettings(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"{file}: not TOML: {error}") from error


def _report(
    error: ValidationError, flags: Mapping[str, object], in_file: Mapping[str, Any], file: Path | None
) -> InvalidSettings:
    """The first thing that is wrong, in one line: where it stands, what it is, and what it may be."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"] if isinstance(part, str)]
    if not path:  # a rule about several settings at once
        return InvalidSettings(str(first["msg"]).removeprefix("Value error, "), usage="db" in flags)
    fields, field = _find(path)
    depth = path.index(field[0]) + 1 if field else len(path)
    key = ".".join(path[:depth])
    value: object = first["input"]
    variables = [PREFIX + "__".join(path[:length]).upper() for length in range(1, depth + 1)]
    environment = {name.upper() for name in os.environ}
    variable = next((name for name in reversed(variables) if name in environment), None)
    if path[0] in flags:
        place = "--" + path[0].replace("_", "-")
    elif variable and (field or not _stands_in(in_file, path[:depth])):
        place = variable
    else:
        place = f"{file}: {key}"
    if field is None:
        return InvalidSettings(f"{place} is no setting{_nearest(path[-1], fields)}", usage=path[0] in flags)
    if path[0] == "webhooks":  # what was given is not repeated: it may hold a secret
        return InvalidSettings(f"{place}: {str(first['msg']).removeprefix('Value error, ')}")
    allowed = next((item.text for item in field[1].metadata if isinstance(item, Allowed)), str(first["msg"]))
    return InvalidSettings(f"{place} is {value!r}; allowed: {allowed}", usage=path[0] in flags)


def _find(path: list[str]) -> tuple[Mapping[str, FieldInfo], tuple[str, FieldInfo] | None]:
    """The fields at the place where `path` ends, and the field it names, if there is one."""
    fields: Mapping[str, FieldInfo] = Settings.model_fields
    field = fields.get(path[0])
    if path[0] == "channels" and len(path) > 2:
        fields = ChannelTimers.model_fields
        name = path[2]
    elif path[0] == "maxima" and len(path) > 1:
        fields = Maxima.model_fields
        name = path[1]
    elif path[0] == "webhooks" and len(path) > 1:
        fields = WebhookSettings.model_fields
        name = path[1]
    else:
        name = path[0]
    field = fields.get(name)
    return fields, (name, field) if field else None


def _stands_in(table: Mapping[str, Any], path: list[str]) -> bool:
    here: Any = table
    for key in path:
        if not isinstance(here, dict) or key not in here:
            return False
        here = cast("dict[str, Any]", here)[key]
    return True


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; the nearest is {near[0]}" if near else f"; there are {', '.join(known)}"
