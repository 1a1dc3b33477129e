"""How many statements a unit of work sends to its database: what a unit costs, on any machine and beside any load."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any  # a cursor, parameters

from sqlalchemy import Engine, event

__all__ = ["counted"]


@contextmanager
def counted(word: str = "") -> Iterator[list[str]]:
    """The statements of every engine of this process while the block runs; with `word` those that begin with it.

    One statement for many rows counts once.
    """
    found: list[str] = []
    lock = threading.Lock()

    def note(_conn: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool) -> None:
        if statement.lstrip().upper().startswith(word):
            with lock:
                found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)
