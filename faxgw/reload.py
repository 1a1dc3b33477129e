"""What a running gateway takes on when its settings are read again (SIGHUP), and what waits for the next start.

Calls in progress and connections go on whatever changes: only what nothing in progress leans on is taken on.
"""

from __future__ import annotations

import re
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass
from typing import Any  # settings: each key has its own type

from faxgw.settings import Settings, changed

TAKEN_ON = re.compile(
    r"""
    (log|relay|settings)\..*                # from the next record, mail and job
    | (mail_route|dkim)\b.*               # from the next mail
    | (target|rule)\b.*                    # for faxes that are routed from now on
    | customer\b.*                          # laid over the directory, as at the start
    | node\.grace
    | route\b.*                             # for calls that are planned from now on
    | (smtp|http|sip|ftp)\.tls\.\w+         # for connections that come from now on
    | trunk\[\d+\]\.(channels|inbound_channels|ring_time)  # for calls that begin from now on
    """,
    re.VERBOSE,
)
"""Keys that need no restart. Certificates are read anew even if no key has changed."""


class Current(Mapping[str, Any]):
    """The system level of the account settings, changed as a whole.

    The store's threads read it while the loop takes new settings on: whoever goes over it sees the old ones or the new
    ones, never a part of them, and a key that is named no more is not there.

    Args:
        values: Those of the start.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def replace(self, values: Mapping[str, Any]) -> None:
        """From now on these, and no others."""
        self._values = dict(values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> KeysView[str]:
        """Of one reading, whatever is taken on meanwhile."""
        return self._values.keys()

    def values(self) -> ValuesView[Any]:
        """As `keys`."""
        return self._values.values()

    def items(self) -> ItemsView[str, Any]:
        """As `keys`."""
        return self._values.items()


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between two readings."""

    taken_on: tuple[str, ...]
    """Keys that hold from now on."""
    waiting: tuple[str, ...]
    """Keys that hold after a restart."""


def compare(started: Settings, current: Settings, new: Settings) -> Changes:
    """Sort the changed keys.

    Args:
        started: What the gateway was started with.
        current: What it took on last.
        new: What it is to take on; without faults.
    """
    whole = {key.partition(".")[0] + ".tls" for key in changed(started, new) if re.fullmatch(r"\w+\.tls", key)}

    def is_taken_on(key: str) -> bool:
        return TAKEN_ON.fullmatch(key) is not None and not any(key.startswith(f"{table}.") for table in whole)

    return Changes(
        tuple(key for key in changed(current, new) if is_taken_on(key)),
        tuple(key for key in changed(started, new) if not is_taken_on(key)),
    )
