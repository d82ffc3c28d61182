"""Context: JSON-like maps changed by JSON Merge Patch (RFC 7396), with limits and sensitive keys.

A session keeps its context as msgpack bytes: that is what the limit is measured on, what a snapshot
stores, and a fifth of the memory of a live dict. It is decoded when somebody reads or patches it.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from .errors import ContextTooLarge, InvalidRequest
from .packing import pack

Json = Any
MASK = "***"
USER_PREFIX = "user."
APP_PREFIX = "app."
SCOPE_PREFIXES = (USER_PREFIX, APP_PREFIX)
"""How a top-level key begins that is of a wider scope than the session (see `scopes`)."""


def merge_patch(target: Json, patch: Json) -> Json:
    """Return `target` with `patch` merged in (RFC 7396): maps merge, None deletes, the rest replaces.

    Neither argument is changed; the result shares what the patch does not touch.
    """
    if not isinstance(patch, Mapping):
        return patch
    changes = cast("Mapping[str, Json]", patch)
    result = dict(cast("Mapping[str, Json]", target)) if isinstance(target, Mapping) else {}
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


class SensitiveKeys:
    """The context keys that nobody but a handler reads in clear, by pattern, at any depth."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        joined = "|".join(f"(?:{fnmatch.translate(pattern)})" for pattern in patterns)
        self._match = re.compile(joined, re.IGNORECASE).match if joined else None

    def __bool__(self) -> bool:
        return self._match is not None

    def matches(self, key: str) -> bool:
        """Is this a sensitive key? Of a wider scope it is one with or without its prefix."""
        match = self._match
        if match is None:
            return False
        if match(key) is not None:
            return True
        return key.startswith(SCOPE_PREFIXES) and match(key.partition(".")[2]) is not None

    def masked(self, value: Json) -> Json:
        """Return `value` with the values of sensitive keys as `***`; deletions (None) stay visible."""
        if self._match is None:
            return value
        if isinstance(value, Mapping):
            return {
                key: MASK if self.matches(key) and inner is not None else self.masked(inner)
                for key, inner in cast("Mapping[str, Json]", value).items()
            }
        if isinstance(value, list | tuple):
            return [self.masked(item) for item in cast("Sequence[Json]", value)]
        return value

    def refuse_mask(self, patch: Json, path: str = "context") -> None:
        """Raise `InvalidRequest` when `patch` writes the mask itself to a sensitive key.

        A client that sends back what it read would otherwise overwrite the secret with three stars.
        """
        if self._match is None:
            return
        if isinstance(patch, Mapping):
            for key, value in cast("Mapping[str, Json]", patch).items():
                where = f"{path}.{key}"
                if value == MASK and self.matches(key):
                    raise InvalidRequest(
                        f"{where} is sensitive, {MASK!r} is how it is shown: send its value or leave it out",
                        details={"key": where, "expected": "a value", "got": MASK},
                    )
                self.refuse_mask(value, where)
        elif isinstance(patch, list | tuple):
            for index, item in enumerate(cast("Sequence[Json]", patch)):
                self.refuse_mask(item, f"{path}.{index}")


def own_part(patch: Mapping[str, Json]) -> Mapping[str, Json]:
    """What of a patch is the session's own: it without the keys of the user's scope."""
    for key in patch:
        if key.startswith(USER_PREFIX):
            return {name: value for name, value in patch.items() if not name.startswith(USER_PREFIX)}
    return patch


def check_patch(patch: Mapping[str, Json]) -> None:
    """Raise `InvalidRequest` for a top-level key of a wider scope (`user.`, `app.`) where none may stand."""
    for key in patch:
        if key.startswith(SCOPE_PREFIXES):
            why = (
                "'app.' is the operator's scope, which is read-only"
                if key.startswith(APP_PREFIX)
                else "'user.' is written by a context update or with a message, nowhere else"
            )
            raise InvalidRequest(
                f"context key {key!r}: {why}",
                details={"key": f"context.{key}", "expected": "a key without a scope's prefix", "got": key},
            )


def merged_within(
    context: Mapping[str, Json],
    patch: Mapping[str, Json],
    sensitive: SensitiveKeys,
    *,
    max_keys: int,
    max_bytes: int,
) -> dict[str, Json]:
    """Return `context` with `patch` merged in, or raise the `SessionError` that says why it may not be."""
    check_patch(patch)
    sensitive.refuse_mask(patch)
    merged: dict[str, Json] = merge_patch(context, patch)
    check_size(merged, len(pack(merged)), max_keys=max_keys, max_bytes=max_bytes)
    return merged


def check_size(context: Mapping[str, Json], size_bytes: int, *, max_keys: int, max_bytes: int) -> None:
    """Raise `ContextTooLarge` when the merged context passes a limit; `size_bytes` is its size as msgpack."""
    if len(context) > max_keys:
        raise ContextTooLarge(
            f"the context would have {len(context)} top-level keys, {max_keys} are allowed",
            details={"limit": "max_context_keys", "max": max_keys, "got": len(context)},
        )
    if size_bytes > max_bytes:
        raise ContextTooLarge(
            f"the context would be {size_bytes} bytes as msgpack, {max_bytes} are allowed",
            details={"limit": "max_context_bytes", "max": max_bytes, "got": size_bytes},
        )
