"""`python -m faxgw.store.build`: compile what makes small files durable (`_rounds.c`) where a compiler is at hand."""

from __future__ import annotations

from faxgw.compiled import Library
from faxgw.store.rounds import LIBRARY, SOURCE

ROUNDS = Library(SOURCE, LIBRARY, "ROUNDS_VERSION", "rounds of small files", "rounds of small files stay in Python")

if __name__ == "__main__":
    ROUNDS.main()
