"""An export as a table, one row an event: comma-separated values, or Parquet where pyarrow is installed."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any, BinaryIO, Final, cast

COLUMNS: Final = (
    "session_id",
    "user_id",
    "channel",
    "seq",
    "at",
    "type",
    "author",
    "author_id",
    "message_id",
    "text",
    "payload",
)
"""`at` is in seconds since the epoch, UTC; `payload` is the whole event as JSON."""

GROUP_ROWS: Final = 20_000
"""Rows of a Parquet file that are kept until they are written together."""

Row = tuple[Any, ...]


class MissingExtra(Exception):
    """A package is not installed that comes with an extra; the text says which."""


def rows_of(items: Iterable[dict[str, Any]], last_row: Sequence[str] = ()) -> Iterator[Row]:
    """The events among the items of an export; `last_row`: of what was written before, where it goes on."""
    user_id, channel = (last_row[1] or None, last_row[2]) if last_row else (None, "")
    for item in items:
        if item["kind"] == "session":
            session = cast("dict[str, Any]", item["session"])
            user_id, channel = session["user"].get("user_id"), session["channel"]
        elif item["kind"] == "event":
            payload = cast("dict[str, Any]", item["payload"])
            yield (
                item["session_id"],
                user_id,
                channel,
                item["seq"],
                item["at"],
                item["type"],
                payload.get("author"),
                payload.get("author_id"),
                payload.get("message_id"),
                payload.get("text"),
                json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
            )


def header_line() -> bytes:
    """The first line of a table of comma-separated values."""
    return _line(COLUMNS)


def write_csv(rows: Iterable[Row], file: BinaryIO) -> None:
    """Write each row as it comes."""
    file.writelines(_line(row) for row in rows)


def _line(row: Sequence[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue().encode()


def write_parquet(rows: Iterable[Row], file: BinaryIO) -> None:
    """Write the rows group by group. Raises MissingExtra where pyarrow is not installed."""
    try:  # a large package, and only this needs it
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtra("Parquet needs pyarrow: pip install 'sojourn[parquet]'") from error
    text, others = arrow.string(), {"seq": arrow.int64(), "at": arrow.timestamp("us", tz="UTC")}
    schema = arrow.schema([(name, others.get(name, text)) for name in COLUMNS])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        group: list[Row] = []
        for row in rows:
            group.append(row)
            if len(group) == GROUP_ROWS:
                writer.write_table(_table(arrow, schema, group))
                group.clear()
        if group:
            writer.write_table(_table(arrow, schema, group))


def _table(arrow: Any, schema: Any, rows: Sequence[Row]) -> Any:
    columns = [list(column) for column in zip(*rows, strict=True)]
    at = COLUMNS.index("at")
    columns[at] = [round(seconds * 1e6) for seconds in columns[at]]
    return arrow.table(
        [arrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )
