"""Who guesses passwords and who asks too often: bounded tables of clients. No clock: `now` is an argument."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

MAX_TRACKED = 10_000
"""Keys that one table remembers; the longest unseen is forgotten first."""
_V6_CLIENT_BITS = 64


def client_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 /64; empty when it is no address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((int(ip), _V6_CLIENT_BITS), strict=False))
    return str(ip)


class Failures:
    """Failed logins per key within a window.

    Args:
        limit: From so many on, the key is barred until the window ends.
        window: Seconds from the first failure.
    """

    def __init__(self, limit: int, window: float) -> None:
        self._limit = limit
        self._window = window
        self._seen: OrderedDict[tuple[str, ...], tuple[float, int]] = OrderedDict()

    def barred(self, key: tuple[str, ...], now: float) -> bool:
        """Whether the key has failed too often."""
        return self.left(key, now) > 0.0

    def left(self, key: tuple[str, ...], now: float) -> float:
        """Seconds for which the key is barred still; 0.0: it is not."""
        since, count = self._seen.get(key, (now, 0))
        return max(0.0, since + self._window - now) if count >= self._limit else 0.0

    def note(self, key: tuple[str, ...], now: float) -> None:
        """The key failed."""
        since, count = self._seen.pop(key, (now, 0))
        self._seen[key] = (since, count + 1) if now - since < self._window else (now, 1)
        while len(self._seen) > MAX_TRACKED:
            self._seen.popitem(last=False)


class Buckets:
    """A token bucket per key: so many requests at once, and so many a second in the long run.

    Args:
        rate: Requests a second.
        burst: Requests at once, at least 1.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        """Requests a second."""
        self.burst = burst
        """Requests at once."""
        self._seen: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> float:
        """Take one request's worth; 0.0: it may go, else the seconds after which it may come again."""
        filled, level = self._seen.pop(key, (now, self.burst))
        level = min(self.burst, level + max(0.0, now - filled) * self.rate)
        wait = 0.0 if level >= 1.0 else (1.0 - level) / self.rate
        self._seen[key] = (now, level if wait else level - 1.0)
        while len(self._seen) > MAX_TRACKED:
            self._seen.popitem(last=False)
        return wait

    def left(self, key: str, now: float) -> tuple[float, float]:
        """(requests that may come at once, seconds until all of them may)."""
        filled, level = self._seen.get(key, (now, self.burst))
        level = min(self.burst, level + max(0.0, now - filled) * self.rate)
        return level, (self.burst - level) / self.rate
