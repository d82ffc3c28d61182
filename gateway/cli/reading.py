"""How the commands open a database file to read it, beside its live server or without one."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sojourn.gateway.settings import Settings
from sojourn.gateway.settings_sources import InvalidSettings, load_settings
from sojourn.storage import Reader, StorageError

from .console import fail


@contextmanager
def reading(db: Path | None, settings_file: Path | None) -> Generator[tuple[Settings, Reader]]:
    """The file that is named, or the one in the settings; a failure is one line at the user."""
    try:
        settings = load_settings({"db": db}, settings_file)
        if settings.path is None:
            fail("durability is memory: there is no file to read")
        with Reader.open(settings.path) as reader:
            yield settings, reader
    except InvalidSettings as error:
        fail(error, usage=error.usage)
    except StorageError as error:
        fail(error)
