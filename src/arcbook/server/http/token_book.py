"""The API tokens of the store, as one server knows them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from arcbook.clock import Clock
from arcbook.secrets.tokens import id_of, is_good
from arcbook.store.access import TokenRow, Tokens
from arcbook.store.api import StoreError

FRESH_SECONDS: Final = 5.0
"""How long a token is known without asking the store: a removed one is refused after that."""

KNOWN_MAX: Final = 10_000
"""Tokens that are known; the oldest are asked for again."""

_MICROSECONDS: Final = 1_000_000


class TokenBook:
    """Looks tokens up, and remembers them for a moment."""

    def __init__(self, store: Tokens, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, tuple[int, TokenRow]] = OrderedDict()
        self._counted_at: int | None = None
        #: Whether there ever was a token. It stays so: the last one's removal opens nothing.
        self.has_any = False

    async def look(self) -> None:
        """Learn from time to time whether there are tokens at all.

        Raises:
            StoreError: that was never known, and the store does not answer.
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
        """Return the token that a text is, if it is good now.

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
        known = self._known.get(token_id)
        if known is not None and now - known[0] < _FRESH_US:
            return known[1]
        row = await self._store.token(token_id)
        if row is None:
            # Made up names would push out those that there are.
            self._known.pop(token_id, None)
            return None
        self._known[token_id] = (now, row)
        self._known.move_to_end(token_id)
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return row

    def forget(self, token_id: str) -> None:
        """Ask the store again for a token that has just been changed here."""
        self._known.pop(token_id, None)
        self._counted_at = None


_FRESH_US: Final = int(FRESH_SECONDS * _MICROSECONDS)
