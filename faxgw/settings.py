"""Settings of the machine: one TOML file, `conf.d/*.toml` beside it, and the environment.

Each part of faxgw declares its own table as a `Section`; the caller of `load` says which sections there are. `load`
names every fault at once, each with file, line and key, and never raises for what stands in a file. `effective`
shows every value in force and where it comes from; a `Secret` is never shown.

Later sources outrank earlier ones: defaults, the file, `conf.d` in the order of the names, the environment
(`FAXGW_SMTP__LISTEN`, `FAXGW_TRUNK__0__HOST`). Entries of arrays of tables add up. Which sections and keys exist is
not known here.
"""

from __future__ import annotations

import enum
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel, ByteSize, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from faxgw import setting_messages, tomlscan
from faxgw.fax.errors import FaxError
from faxgw.setting_types import Duration, Listener, Secret, Tls, world_readable

__all__ = [
    "ByteSize",
    "Duration",
    "Effective",
    "Fault",
    "Listener",
    "LogSettings",
    "Many",
    "Maybe",
    "Origin",
    "Secret",
    "Section",
    "Settings",
    "SettingsError",
    "Tls",
    "changed",
    "effective",
    "load",
    "shown",
]

MAX_FILE = 1_000_000
"""Octets of one file at most; a thousand trunks need a tenth of it."""
MAX_FILES = 200
"""Files in `conf.d` at most."""
ENVIRONMENT = "FAXGW_"
"""Prefix of the variables that outrank the files; those without `__` behind it are no settings."""
MASK = "********"
"""Shown in place of a secret."""

KeyPath = tomlscan.Path
Tree = dict[str, Any]  # what tomllib returns: any TOML value beneath


class Section(BaseModel):
    """Base of all settings models: frozen, unknown keys refused, the text beneath a field is its description."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, validate_default=False
    )


class LogSettings(Section):
    """`[log]`: what is logged, to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level that is written."""
    format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text on a terminal, else JSON, one object per line."""
    show_numbers: bool = False
    """Write telephone numbers in full instead of as +33…89."""


AnySection = TypeVar("AnySection", bound=Section)


@dataclass(frozen=True, slots=True)
class Many:
    """Declares an array of tables, `[[trunk]]`, which may be absent."""

    model: type[Section]


@dataclass(frozen=True, slots=True)
class Maybe:
    """Declares a table that may be absent; without it the part is switched off."""

    model: type[Section]


Sections = Mapping[str, type[Section] | Many | Maybe]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from."""

    source: str
    """Path of a file, `environment NAME`, or `default`."""
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    file: str
    """Path of a file, or `environment NAME`."""
    line: int | None
    """Counted from 1; None when no line can be named."""
    key: str
    """Dotted key, `trunk[0].host`; empty when the whole file is at fault."""
    message: str
    """What is wrong and what to write instead. Never contains a value."""

    def __str__(self) -> str:
        place = str(Origin(self.file, self.line))
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Effective:
    """A value in force."""

    key: str
    """Dotted key, `trunk[0].host`."""
    value: str
    """As it would be written in TOML; `********` for a secret, `(not set)` for none."""
    origin: str
    """`/etc/faxgw/faxgw.toml:12`, `environment FAXGW_SMTP__LISTEN` or `default`."""


DEFAULT = Origin("default")


class SettingsError(FaxError):
    """The settings are faulty; the text lists every fault, one per line."""

    default_public = "The settings of the fax gateway are faulty."
    default_temporary = False

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


class Settings:
    """What `load` found: the sections that are right, and the faults.

    Attributes:
        faults: Everything that is wrong, in the order of files and lines; empty when all is right.
        files: The files that were read.
    """

    def __init__(
        self,
        models: Mapping[str, Section | tuple[Section, ...]],
        faults: Sequence[Fault],
        files: Sequence[Path],
        origins: Mapping[KeyPath, Origin],
    ) -> None:
        self._models = dict(models)
        self._origins = dict(origins)
        self.faults = tuple(faults)
        self.files = tuple(files)

    def check(self) -> None:
        """Raise SettingsError if there is any fault."""
        if self.faults:
            raise SettingsError(self.faults)

    def one(self, name: str, model: type[AnySection]) -> AnySection:
        """The table of that name.

        Raises:
            SettingsError: If it is faulty.
        """
        found = self.maybe(name, model)
        if found is None:
            raise KeyError(name)
        return found

    def maybe(self, name: str, model: type[AnySection]) -> AnySection | None:
        """The table of that name, or None when it is absent (declared with `Maybe`)."""
        found = self._get(name)
        if found is None or isinstance(found, model):
            return found
        raise TypeError(f"[{name}] is not a {model.__name__}")

    def many(self, name: str, model: type[AnySection]) -> tuple[AnySection, ...]:
        """The entries of the array of tables of that name, in the order of files and lines."""
        found = self._get(name)
        entries = found if isinstance(found, tuple) else ()
        if not all(isinstance(entry, model) for entry in entries):
            raise TypeError(f"[[{name}]] are not {model.__name__}")
        return cast("tuple[AnySection, ...]", entries)

    def origin(self, path: KeyPath) -> Origin:
        """Where the value at the path was set; `default` when no source names that very key."""
        return self._origins.get(path, DEFAULT)

    def items(self) -> Iterator[tuple[str, Section | tuple[Section, ...]]]:
        """Name and models of every section that is right."""
        yield from self._models.items()

    def _get(self, name: str) -> Section | tuple[Section, ...] | None:
        faults = [fault for fault in self.faults if re.split(r"[.\[]", fault.key)[0] == name]
        if faults and name not in self._models:
            raise SettingsError(faults)
        return self._models.get(name)


def load(path: Path | None, sections: Sections, *, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read, merge and check all settings.

    Args:
        path: The main file; None for defaults and environment alone.
        sections: Which tables there are; every other one is a fault.
        environ: Variables that outrank the files, and that secrets may be taken from.
    """
    load_ = _Load(sections, environ)
    if path is not None:
        load_.read_files(path)
    load_.read_environment()
    models = load_.validate()
    return Settings(models, load_.sorted_faults(), load_.files, load_.origins)


def effective(settings: Settings) -> list[Effective]:
    """Every value in force with its origin; secrets are masked."""
    return [
        Effective(_dotted(path), shown(value), str(settings.origin(path)))
        for name, section in settings.items()
        for path, value in _leaves((name,), section)
    ]


def changed(old: Settings, new: Settings) -> list[str]:
    """Dotted keys whose values differ, or that only one of the two has."""
    before, after = (
        {path: value for name, section in each.items() for path, value in _leaves((name,), section)}
        for each in (old, new)
    )
    missing = object()
    return [_dotted(path) for path in before | after if before.get(path, missing) != after.get(path, missing)]


class _Load:
    """One reading of all sources: a tree of raw values, the origin of each, and the faults so far."""

    def __init__(self, sections: Sections, environ: Mapping[str, str]) -> None:
        self.files: list[Path] = []
        self.origins: dict[KeyPath, Origin] = {}
        self._sections = sections
        self._environ = environ
        self._faults: list[Fault] = []
        self._tree: Tree = {}
        self._unreadable = False

    def sorted_faults(self) -> list[Fault]:
        order = {str(path): index for index, path in enumerate(self.files)}
        return sorted(self._faults, key=lambda fault: (order.get(fault.file, len(order)), fault.line or 0))

    # ------------------------------------------------------------------------------------------- sources

    def read_files(self, main: Path) -> None:
        """Read the main file, then `conf.d/*.toml` beside it."""
        more = sorted((main.parent / "conf.d").glob("*.toml"))
        if len(more) > MAX_FILES:
            self._fault(main.parent / "conf.d", None, "", f"more than {MAX_FILES} files; the rest is not read")
        for path in (main, *more[:MAX_FILES]):
            self.files.append(path)
            text = self._text(path)
            if text is not None:
                self._parse(path, text)

    def read_environment(self) -> None:
        """Lay the variables over the files."""
        for name in sorted(self._environ):
            keys = name.removeprefix(ENVIRONMENT).lower().split("__")
            if name.startswith(ENVIRONMENT) and len(keys) > 1 and all(keys):
                self._set(tuple(keys), self._environ[name], Origin(f"environment {name}"))

    def _text(self, path: Path) -> str | None:
        try:
            with path.open("rb") as file:
                octets = file.read(MAX_FILE + 1)
        except OSError as exc:
            self._fault(path, None, "", f"cannot be read: {exc.strerror}")
            return None
        if len(octets) > MAX_FILE:
            self._fault(path, None, "", f"is larger than {MAX_FILE} octets")
            return None
        try:
            return octets.decode().replace("\r\n", "\n")
        except UnicodeDecodeError as exc:
            self._fault(path, octets.count(b"\n", 0, exc.start) + 1, "", "is not UTF-8")
            return None

    def _parse(self, path: Path, text: str) -> None:
        """Merge one file's text. Of a duplicate the first holds, so that the rest of the file is still checked."""
        found = tomlscan.scan(text)
        for duplicate in found.duplicates:
            message = f"stands twice, first in line {duplicate.first_line}"
            self._fault(path, duplicate.line, _dotted(duplicate.path), message)
            kept_newlines = "\n" * text.count("\n", duplicate.start, duplicate.end)
            blank = " " * (duplicate.end - duplicate.start - len(kept_newlines)) + kept_newlines
            text = text[: duplicate.start] + blank + text[duplicate.end :]
        try:
            tree = tomllib.loads(text)
        except tomllib.TOMLDecodeError as exc:
            message, line = _syntax(str(exc), text)
            if line not in {duplicate.line for duplicate in found.duplicates}:
                self._fault(path, line, "", message)
            self._unreadable = True
        except RecursionError:
            self._fault(path, None, "", "is nested too deeply")
        else:
            self._merge(self._tree, tree, (), (), path, found)

    def _merge(self, old: Tree, new: Tree, path: KeyPath, own: KeyPath, file: Path, found: tomlscan.Scan) -> None:
        """Lay `new` over `old`. `path` leads there in the whole, `own` in the file."""
        for key, value in new.items():
            here, there = (*path, key), (*own, key)
            before = old.get(key)
            if isinstance(value, dict) and isinstance(before, dict) and not _is_reference(value):
                self._merge(before, value, here, there, file, found)
                continue
            offset = 0
            if before is not None and _is_table_array(value) and _is_table_array(before):
                offset = len(before)
                old[key] = before + value
            else:
                self._forget(here)
                old[key] = value
            self._note(value, here, there, offset, file, found)

    def _note(self, value: object, path: KeyPath, own: KeyPath, offset: int, file: Path, found: tomlscan.Scan) -> None:
        """Write down the origin of a value and of everything in it; entries are counted from `offset` on."""
        self.origins.setdefault(path, Origin(str(file), found.line_of(own)))
        if isinstance(value, dict):
            for key, item in value.items():
                self._note(item, (*path, key), (*own, key), 0, file, found)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._note(item, (*path, index + offset), (*own, index), 0, file, found)

    def _set(self, keys: tuple[str, ...], value: str, origin: Origin) -> None:
        """Set one value from the environment, as text; `validate` reads it as TOML where a text does not fit."""
        path: KeyPath = ()
        node: Any = self._tree  # Any: a dict or list of whatever the file says
        for key, following in pairwise(keys):
            if isinstance(node, list):
                if not key.isdecimal() or int(key) > len(node):
                    return self._refuse(origin, path, f"has no entry {key}; the first is 0")
                if int(key) == len(node):
                    node.append({})
                path, node = (*path, int(key)), node[int(key)]
                continue
            path = (*path, key)
            inner = node.get(key)
            if not isinstance(inner, dict | list) or (_is_reference(inner) and keys[-2] == key):
                inner = node[key] = [] if following.isdecimal() else {}
                self.origins[path] = origin
            node = inner
        if not isinstance(node, dict):
            return self._refuse(origin, path, "is a list: name an entry by its number, then a key")
        node[keys[-1]] = value
        self._forget((*path, keys[-1]))
        self.origins[*path, keys[-1]] = origin
        return None

    def _refuse(self, origin: Origin, path: KeyPath, message: str) -> None:
        self._faults.append(Fault(origin.source, None, _dotted(path), message))

    def _forget(self, path: KeyPath) -> None:
        for known in [known for known in self.origins if known[: len(path)] == path]:
            del self.origins[known]

    # ---------------------------------------------------------------------------------------- validation

    def validate(self) -> dict[str, Section | tuple[Section, ...]]:
        """Check the tree against the sections; what is right is returned, what is wrong becomes a fault."""
        for name in self._tree.keys() - self._sections.keys():
            self._fault_at((name,), "unknown section" + setting_messages.near(name, self._sections))
        models: dict[str, Section | tuple[Section, ...]] = {}
        for name, declared in self._sections.items():
            raw = self._tree.get(name)
            found: Section | tuple[Section, ...] | None
            match declared:
                case Many(model):
                    found = self._entries(name, model, [] if raw is None else raw)
                case Maybe(model):
                    found = None if raw is None else self._table((name,), model, raw)
                case model:
                    found = self._table((name,), model, {} if raw is None else raw)
            if found is not None:
                models[name] = found
        for name, section in models.items():
            self._check_secrets((name,), section)
        return models

    def _entries(self, name: str, model: type[Section], raw: object) -> tuple[Section, ...] | None:
        if not isinstance(raw, list):
            self._fault_at((name,), f"may stand several times: write [[{name}]]")
            return None
        found = [self._table((name, index), model, entry) for index, entry in enumerate(raw)]
        right = tuple(entry for entry in found if entry is not None)
        return right if len(right) == len(raw) else None

    def _table(self, path: KeyPath, model: type[Section], raw: object) -> Section | None:
        if not isinstance(raw, dict):
            self._fault_at(path, f"stands once, as a table: write [{path[0]}]")
            return None
        for again in (False, True):
            try:
                return self._model(model, raw)
            except ValidationError as exc:
                errors = exc.errors(include_url=False, include_input=False)
            if again or not self._reread_texts(path, raw, errors):
                break
        self._explain(path, model, raw, errors)
        return None

    def _model(self, model: type[Section], raw: Tree) -> Section:
        """JSON's strict mode takes lists, paths and enums from their TOML form, and nothing else by conversion."""
        text = json.dumps(raw, default=lambda value: value.isoformat())
        return model.model_validate_json(text, strict=True, context={"environ": self._environ})

    def _reread_texts(self, path: KeyPath, raw: Tree, errors: Sequence[ErrorDetails]) -> bool:
        """Where a variable's text does not fit, take it as a TOML value: `25`, `true`, `["a", "b"]`."""
        changed = False
        for error in errors:
            keys = setting_messages.known(error["loc"], raw)
            if not keys or not self.origins.get(path + keys, DEFAULT).source.startswith("environment "):
                continue
            node: Any = raw  # Any: as in _set
            for key in keys[:-1]:
                node = node[key]
            try:
                value = tomllib.loads(f"value = {node[keys[-1]]}")["value"]
            except (tomllib.TOMLDecodeError, RecursionError):
                continue
            node[keys[-1]] = value
            changed = True
        return changed

    def _explain(self, path: KeyPath, model: type[Section], raw: Tree, errors: Sequence[ErrorDetails]) -> None:
        for error in errors:
            if error["type"] == "missing" and self._unreadable:
                continue
            if error["type"] == "too_short" and any(
                other["loc"][: len(error["loc"])] == error["loc"] for other in errors if other is not error
            ):
                continue  # only because its entries are faulty
            keys = setting_messages.known(error["loc"], raw)
            if error["type"] in {"missing", "extra_forbidden"} and keys[-1:] != error["loc"][-1:]:
                keys += (error["loc"][-1],)
            self._fault_at(path + keys, setting_messages.message(error, model, keys))

    def _check_secrets(self, path: KeyPath, section: object) -> None:
        """A secret may be written into a file that others cannot read, and into no other."""
        for key, value in _leaves(path, section):
            origin = self.origins.get(key, DEFAULT)
            written = isinstance(value, Secret) and value.literal and origin.line is not None
            if written and world_readable(Path(origin.source)):
                self._fault_at(key, "a secret in a file that every user can read: chmod o-r, or name a { file = … }")

    def _fault_at(self, path: KeyPath, message: str) -> None:
        """A fault of the key, with the line of the key or of the nearest table around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                origin = self.origins[path[:length]]
                break
        else:
            origin = Origin(str(self.files[0]) if self.files else "settings")
        self._faults.append(Fault(origin.source, origin.line, _dotted(path), message))

    def _fault(self, file: Path, line: int | None, key: str, message: str) -> None:
        self._faults.append(Fault(str(file), line, key, message))


def _leaves(path: KeyPath, value: object) -> Iterator[tuple[KeyPath, object]]:
    """Path and value of everything in a model that is no model itself."""
    if isinstance(value, BaseModel):
        for field in type(value).model_fields:
            yield from _leaves((*path, field), getattr(value, field))
    elif isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves((*path, str(key)), item)
    elif isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
        for index, item in enumerate(value):
            yield from _leaves((*path, index), item)
    else:
        yield path, value


def _is_reference(value: object) -> bool:
    """Whether a table says where a secret lies; such a table replaces another, it never merges with it."""
    return isinstance(value, dict) and len(value) == 1 and not value.keys().isdisjoint({"file", "env", "credential"})


def _is_table_array(value: Any) -> bool:  # Any: a TOML value
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _syntax(message: str, text: str) -> tuple[str, int]:
    """Part tomllib's message from the line that it names."""
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", message, re.DOTALL)
    if found is None:
        return setting_messages.lowered(message), 1
    return setting_messages.lowered(found[1]), int(found[2]) if found[2] else text.count("\n") + 1


def _dotted(path: KeyPath) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


def shown(value: object) -> str:
    """A value as it would be written in TOML."""
    match value:
        case None:
            return "(not set)"
        case Secret():
            return MASK
        case bool():
            return "true" if value else "false"
        case enum.Enum():
            return shown(value.value)
        case ByteSize():
            unit, factor = next(((u, f) for u, f in _BYTES if value and value % f == 0), ("", 1))
            return f'"{value // factor}{unit}"' if unit else str(int(value))
        case Duration():
            return f'"{value}"'
        case int() | float():
            return str(value)
        case Mapping():
            return "{" + ", ".join(f"{key} = {shown(item)}" for key, item in value.items()) + "}"
        case tuple() | list() | set() | frozenset():
            return "[" + ", ".join(shown(item) for item in value) + "]"
        case _:
            return json.dumps(str(value), ensure_ascii=False)


_BYTES = (("GB", 10**9), ("GiB", 2**30), ("MB", 10**6), ("MiB", 2**20), ("KB", 10**3), ("KiB", 2**10))
