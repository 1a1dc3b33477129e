"""Reads a unit file, and the sets of system calls that its filters name."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Mapping
from pathlib import Path

TRUE = {"yes", "true", "on", "1"}


class Service:
    """The [Service] section: every directive with its values, in order; an empty assignment forgets earlier ones."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.directives = _section(path.read_text(), "Service")

    def one(self, name: str, default: str = "") -> str:
        """The last value."""
        return (self.directives.get(name) or [default])[-1]

    def words(self, name: str) -> list[str]:
        """All words of all values."""
        return [word for value in self.directives.get(name, []) for word in value.split()]

    def yes(self, name: str) -> bool:
        """Whether a switch is on."""
        return self.one(name).lower() in TRUE


def _section(text: str, wanted: str) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            section = line.strip("[]")
        elif section == wanted:
            key, _, value = line.partition("=")
            if value:
                found.setdefault(key, []).append(value.strip())
            else:
                found[key] = []
    return found


@functools.cache
def system_calls(name: str) -> frozenset[str]:
    """The system calls of a set such as @system-service, as the installed systemd knows it."""
    if not name.startswith("@"):
        return frozenset({name})
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", name],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    lines = [line.strip() for line in done.stdout.splitlines()]
    words = [line for line in lines if line and not line.startswith("#") and line != name]
    return frozenset(call for word in words for call in system_calls(word))


def allowed_calls(service: Service) -> frozenset[str]:
    """What SystemCallFilter= leaves (systemd.exec(5)): the first line opens, those with ~ take away."""
    left: set[str] = set(system_calls("@default"))
    for value in service.directives["SystemCallFilter"]:
        named = {call for word in value.lstrip("~").split() for call in system_calls(word)}
        left = left - named if value.startswith("~") else left | named
    return frozenset(left)
