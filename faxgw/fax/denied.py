"""Senders whose faxes a number does not take: by the caller's number at the INVITE, by identification at page 1.

A pattern may have `*` for any characters and `?` for one; case does not count. What is refused is refused before
anything was confirmed, so the sender's machine tells its owner; nothing is dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

MAX_PATTERNS = 200
"""Patterns of one list."""
MAX_STARS = 3
"""`*` in a pattern: each is tried at every place."""
ANONYMOUS = "anonymous"
"""Stands for callers who withhold their number."""
_WITHHELD = frozenset({"", "anonymous", "unavailable", "restricted", "unknown", "private", "withheld"})


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    parts = {"*": "[^\n]*", "?": "[^\n]"}
    joined = re.sub(r"\*+", "*", pattern)  # several in a row would be tried in many ways
    return re.compile("".join(parts.get(c, re.escape(c)) for c in joined), re.IGNORECASE)


def by_caller(patterns: Sequence[str], caller: str, forms: Sequence[str]) -> str:
    """Why a caller is not answered; empty: it is.

    Args:
        patterns: Of the number's settings.
        caller: As it came.
        forms: Its E.164 forms.
    """
    withheld = caller.strip().lower() in _WITHHELD
    for pattern in patterns:
        if pattern.lower() == ANONYMOUS:
            if withheld:
                return "the caller withholds its number"
        elif any(_expression(pattern).fullmatch(form) for form in (caller, *forms) if form):
            return f"the caller is on the number's deny list ({pattern})"
    return ""


def by_ident(patterns: Sequence[str], ident: str) -> str:
    """Why a machine's faxes are not taken; empty: they are. Blanks in identifications do not count."""
    plain = ident.replace(" ", "")
    for pattern in patterns:
        if plain and _expression(pattern.replace(" ", "")).fullmatch(plain):
            return f"the machine is on the number's deny list ({pattern})"
    return ""
