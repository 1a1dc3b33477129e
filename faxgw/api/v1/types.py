"""What the documents of the native API are made of: base models, times, names, and how faults are told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar  # Any: parsed JSON

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from faxgw.api.answers import Refusal
from faxgw.api.v1 import patterns

MAX_FAULTS = 50
"""Faults told in one answer at most."""
EARLIEST_YEAR, LATEST_YEAR = 2000, 2099
"""Years that a time may have."""


SAID: Mapping[str, str] = {
    "extra_forbidden": "There is no such member or parameter",
    "missing": "It must be given",
    "model_type": "It must be an object",
    "model_attributes_type": "It must be an object",
    "dict_type": "It must be an object",
    "list_type": "It must be a list",
    "tuple_type": "It must be a list",
    "too_short": "It must have at least {min_length} of them",
    "too_long": "It may have at most {max_length} of them",
    "string_type": "It must be a text",
    "string_too_short": "It must have at least {min_length} characters",
    "string_too_long": "It may have at most {max_length} characters",
    "bool_type": "It must be true or false",
    "bool_parsing": "It must be true or false",
    "int_type": "It must be a whole number",
    "int_parsing": "It must be a whole number",
    "int_from_float": "It must be a whole number",
    "float_type": "It must be a number",
    "float_parsing": "It must be a number",
    "finite_number": "It must be a number",
    "greater_than_equal": "It must be {ge} or more",
    "less_than_equal": "It must be {le} or less",
    "literal_error": "It must be {expected}",
    "enum": "It must be {expected}",
}
"""What is told of a fault, by what pydantic calls it; a fault that is not here is told in pydantic's words."""


class Document(BaseModel):
    """What a client sends; a member that is not known is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    def given(self) -> dict[str, Any]:
        """The members that were sent."""
        return self.model_dump(mode="json", exclude_unset=True)


class Query(BaseModel):
    """The parameters of a request; one that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Answer(BaseModel):
    """What is answered."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


def _whole(value: object) -> object:
    """A number as it may stand in a URL, digits alone, or in JSON, where 6.0 is 6 (JSON Schema section 4.2.3)."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise ValueError("must be a whole number")
        return int(value)
    return value


Whole = BeforeValidator(_whole)
"""Of a whole number; stands last in its type."""
Line = Annotated[str, Field(max_length=200, pattern=patterns.PRINTABLE)]
"""One line of text."""
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""A time that is told: RFC 3339, UTC."""
GivenTime = Annotated[str, Field(pattern=patterns.TIME_GIVEN, max_length=40, examples=["2026-11-22T08:00:00Z"])]
"""A time that a client gives: RFC 3339 with a zone."""


def shown(at: float) -> str:
    """A time as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown_or_none(at: float | None) -> str | None:
    """The same of a time that may not have come."""
    return None if at is None else shown(at)


def unix(given: str) -> float:
    """Unix seconds of a time that fits `patterns.TIME_GIVEN`."""
    return datetime.fromisoformat(given.replace("Z", "+00:00")).timestamp()


M = TypeVar("M", bound=BaseModel)


def checked(model: type[M], given: object, context: Mapping[str, Any] | None = None) -> M:
    """What was given as a document.

    Raises:
        Refusal: 422 with every fault, the first one as `param`.
    """
    try:
        return model.model_validate(given, context=dict(context or {}))
    except ValidationError as exc:
        raise refusal_of(exc) from exc


def refusal_of(error: ValidationError) -> Refusal:
    """The refusal that tells what is wrong with a document."""
    faults = []
    for fault in error.errors(include_url=False, include_input=False)[:MAX_FAULTS]:
        text = fault["msg"].removeprefix("Value error, ")
        if fault["type"] in SAID:
            text = SAID[fault["type"]].format(**fault.get("ctx", {}))
        elif fault["type"] == "string_pattern_mismatch":
            text = patterns.words(fault["ctx"]["pattern"])
        faults.append({"param": place(fault["loc"]), "detail": text})
    first = faults[0]
    others = len(faults) - 1
    more = f" ({others} more fault{'s' if others > 1 else ''})" if others else ""
    detail = f"{first['param'] or 'The body'}: {first['detail']}.{more}"
    return Refusal(422, detail, code="invalid", param=str(first["param"]), faults=faults)


def place(where: tuple[int | str, ...]) -> str:
    """A place in a document: `to[0].number`. Marks of pydantic and of our unions are left out."""
    found = ""
    for part in where:
        if isinstance(part, int):
            found += f"[{part}]"
        elif not part.startswith(("<", "[")):
            name = "".join(c if c.isprintable() else "?" for c in part[:40])
            found += f".{name}" if found else name
    return found
