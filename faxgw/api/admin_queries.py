"""The parameters that the administration's routes take; one that is not known is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from faxgw.api.v1 import patterns
from faxgw.api.v1.types import Query, Whole
from faxgw.formats.mail_examples import EXAMPLES

Number = Annotated[int, Field(ge=0, le=10**18 - 1), Whole]
Flag = Literal["0", "1"]
When = Annotated[str, Field(max_length=40)]
"""Unix seconds, or a date or time as in RFC 3339."""


class Part(Query):
    """Where a list goes on."""

    after: Annotated[str, Field(max_length=320)] = ""
    """Key of the last one seen."""
    limit: Number = 100


class SenderPart(Query):
    """Where the list of senders goes on."""

    after: Annotated[str, Field(max_length=320)] = ""
    """Value of the last one seen."""
    limit: Number = 1_000


class OfUser(Query):
    """Whose settings."""

    user: Annotated[str, Field(max_length=64)] = ""


class Before(Query):
    """Where a list goes on, backwards."""

    before: Number = 0
    """Serial of the last one seen."""
    limit: Number = 100


class OneSender(Query):
    """Which sender."""

    kind: Literal["address", "domain", "network"]
    value: Annotated[str, Field(max_length=320)]


class OfLogin(Query):
    """Whose keys."""

    login: Annotated[str, Field(max_length=320)]


class OneKey(OfLogin):
    """Which key."""

    fingerprint: Annotated[str, Field(max_length=100)]


class DryRun(Query):
    """Whether something happens."""

    dry_run: Flag = "0"
    """1: only say what would."""


class EndingPapers(Query):
    """Which papers."""

    days: Annotated[int, Field(ge=0, le=3_650), Whole] = 30
    """That end within so many days, or have ended."""


class PaperNew(Query):
    """What a paper is."""

    kind: Annotated[str, Field(max_length=40)]
    name: Annotated[str, Field(max_length=1_000)] = "paper"
    until: Annotated[float, Field(ge=0)] | None = None
    """Unix seconds."""


class Given(Query):
    """What recipients will give values."""

    given: list[Annotated[str, Field(pattern=patterns.FIELD)]] = Field(
        default_factory=list, max_length=99, json_schema_extra={"many": True}
    )
    """Names; the parameter may be repeated."""


class Preview(Query):
    """What a preview shows."""

    page: Annotated[int, Field(ge=1, le=9_999), Whole] = 1
    language: Literal["en", "fr", "de"] = "en"
    paper: Literal["A4", "Letter", "Legal"] = "A4"
    resolution: Literal["standard", "fine", "superfine"] = "fine"
    value: list[Annotated[str, Field(pattern=patterns.VALUE, max_length=2_100)]] = Field(
        default_factory=list, max_length=99, json_schema_extra={"many": True}
    )
    """`name=text`; the parameter may be repeated."""


class Example(Query):
    """Which example mail."""

    example: Annotated[str, Field(json_schema_extra={"enum": list(EXAMPLES)})] | None = None
    language: Literal["en", "fr", "de"] = "en"


class Search(Query):
    """Which faxes of the archive."""

    customer: Annotated[str, Field(max_length=64)] = ""
    number: Annotated[str, Field(max_length=40)] = ""
    since: When = ""
    until: When = ""
    reference: Annotated[str, Field(max_length=256)] = ""
    text: Annotated[str, Field(max_length=256)] = ""
    """That was read on it."""


class SearchPart(Search):
    """The same, and where the list goes on."""

    after: Annotated[str, Field(max_length=120)] = "0:"
    """`next` of the part before."""
    limit: Number = 100


class Everything(Query):
    """Whether what is over is listed too."""

    all: Flag = "0"


class AuditPart(Query):
    """Which records of the audit."""

    after: Number = 0
    """Number of the last one seen."""
    fax: Annotated[str, Field(max_length=64)] = ""
    who_did: Annotated[str, Field(max_length=130)] = ""
    customer: Annotated[str, Field(max_length=64)] = ""
    since: When = ""
    until: When = ""
    limit: Number = 100
    newest: Flag = "0"
    """1: the newest first."""


class JunkPart(Everything):
    """Which judged faxes."""

    customer: Annotated[str, Field(max_length=64)] = ""
    limit: Number = 100
