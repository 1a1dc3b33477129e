"""`[api]`: which HTTP interfaces are mounted, and their bounds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from faxgw.egress import Network
from faxgw.fax.account import MAX_RECIPIENTS
from faxgw.settings import ByteSize, Duration, Section


class ApiSettings(Section):
    """`[api]`: the interfaces for programs, on the server of `[http]`."""

    native: bool = True
    """Serve the native API under /api/v1 (docs/api.md)."""
    retarus: bool = False
    """Serve the REST interface "Fax for Applications" v1 of Retarus under /rest/v1."""
    soap: bool = False
    """Serve the SOAP interface of Retarus, version 3, under /soap/v3."""
    max_body: Annotated[ByteSize, Field(ge=100_000)] = ByteSize(100_000_000)
    """Octets of a request with documents in it; as base64 these take a third more than their files."""
    max_recipients: Annotated[int, Field(ge=1, le=MAX_RECIPIENTS)] = 1_000
    """Recipients of one job over these interfaces; an account's own `max_recipients` may be less."""
    duplicate_window: Annotated[Duration, Field(ge=0, le=86_400)] = Duration(600)
    """The same request of the same login within this time is answered with 409 and the first one's id; 0: never."""
    fetch_limit: Annotated[ByteSize, Field(ge=1_000)] = ByteSize(50_000_000)
    """Octets of a document that a job names by its URL."""
    fetch_networks: Annotated[tuple[Network, ...], Field(max_length=100)] = ()
    """Networks of your own from which such documents are fetched too; else only from public addresses."""
    push_networks: Annotated[tuple[Network, ...], Field(max_length=100)] = ()
    """Networks of your own that status pushes and webhooks may lead to; else only public addresses."""
    report_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """Days for which the report of a finished job can be asked for."""
    customer_numbers: dict[str, str] = Field(default_factory=dict, examples=[{"99999TE": "acme"}])
    """Customer numbers in paths that are not the customer's id: number = customer."""
