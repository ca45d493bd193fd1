"""A server's cache of the API tokens in the store."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from arcbook.clock import Clock
from arcbook.secrets.tokens import id_of, is_good
from arcbook.store.access import TokenRow, Tokens
from arcbook.store.api import StoreError

FRESH_SECONDS: Final = 5.0
"""How long a token is cached; a removed one is refused after that."""

KNOWN_MAX: Final = 10_000
"""Tokens cached; the oldest are evicted."""

_MICROSECONDS: Final = 1_000_000


class TokenBook:
    """Looks up tokens, and caches them briefly."""

    def __init__(self, store: Tokens, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, tuple[int, TokenRow]] = OrderedDict()
        self._counted_at: int | None = None
        #: Whether there has ever been a token; removing the last one does not open the API.
        self.has_any = False

    async def look(self) -> None:
        """Check from time to time whether there are any tokens.

        Raises:
            StoreError: the store does not answer, and this was never known.
        """
        now = self._clock.monotonic_us()
        if self.has_any or (self._counted_at is not None and now - self._counted_at < _FRESH_US):
            return
        try:
            self.has_any = bool(await self._store.tokens())
        except StoreError:
            if self._counted_at is None:
                raise
        self._counted_at = now

    async def find(self, text: str) -> TokenRow | None:
        """Return the valid token with a text.

        Raises:
            StoreError: the store does not answer.
        """
        token_id = id_of(text)
        if not token_id:
            return None
        row = await self._row(token_id)
        if row is None or not is_good(row, text, self._clock.now_us()):
            return None
        return row

    async def _row(self, token_id: str) -> TokenRow | None:
        now = self._clock.monotonic_us()
        cached = self._known.get(token_id)
        if cached is not None and now - cached[0] < _FRESH_US:
            return cached[1]
        row = await self._store.token(token_id)
        if row is None:
            # Not cached: invented ids would evict real tokens.
            self._known.pop(token_id, None)
            return None
        self._known[token_id] = (now, row)
        self._known.move_to_end(token_id)
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return row

    def forget(self, token_id: str) -> None:
        """Drop a token that was changed on this server from the cache."""
        self._known.pop(token_id, None)
        self._counted_at = None


_FRESH_US: Final = int(FRESH_SECONDS * _MICROSECONDS)
