"""Calls from dialogs to web services: one JSON document out, one back, bounded in time and size."""

import json
from typing import Any, Final, Self

import httpx

MAX_ANSWER_BYTES: Final = 256 * 1024


class CallFailed(Exception):
    """The service did not answer with JSON and a status of success; the message says what it did."""


class Calls:
    """Posts JSON. Connections are kept open between calls; redirects are not followed."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def __call__(self, url: str, payload: Any, timeout: float) -> Any:
        """The JSON of the answer, None where it is empty; `CallFailed` otherwise. `timeout` is of silence."""
        if self._client is None:
            # Made at the first call: reading the system's certificates takes longer than starting all else.
            self._client = httpx.AsyncClient(follow_redirects=False, trust_env=False)
        try:
            async with self._client.stream("POST", url, json=payload, timeout=timeout) as response:
                if not response.is_success:
                    raise CallFailed(f"answered {response.status_code} {response.reason_phrase}")
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        raise CallFailed(f"answered more than {MAX_ANSWER_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CallFailed(f"{type(error).__name__}: {error}".rstrip(": ")) from error
        if not body.strip():
            return None
        try:
            return json.loads(bytes(body))
        except (ValueError, RecursionError) as error:
            raise CallFailed("answered something that is not JSON") from error

    async def close(self) -> None:
        """Close what is open."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
