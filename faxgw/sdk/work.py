"""What each method of the clients asks the gateway: a piece of work (`faxgw.sdk.steps`) for each, written once. No I/O.

The clients say the same in their own way of waiting; paths, models and headers stand here alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from faxgw.api.v1.account import Account, Destination
from faxgw.api.v1.calls import Attempts, CallLadder
from faxgw.api.v1.fax_models import Accepted, Cancelled, Fax, FaxPage, Job
from faxgw.api.v1.webhooks import Webhooks
from faxgw.sdk import steps
from faxgw.sdk.steps import Request, Steps, get, read, segment


def send(to: object, documents: Sequence[object], key: str | None, fields: Mapping[str, object]) -> Steps[Accepted]:
    """Send a fax; without a key a new one makes the tries of this work one request."""
    return read(Accepted, steps.sending(to, documents, key, fields))


def resend(fax: str, key: str | None, fields: Mapping[str, object]) -> Steps[Accepted]:
    """Send a fax again, with a key as in `send`."""
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    return read(Accepted, Request("POST", f"{_of(fax)}/resend", json=fields, headers=headers))


def cancel(fax: str) -> Steps[Fax]:
    """Cancel a fax."""
    return read(Fax, Request("POST", f"{_of(fax)}/cancel"))


def cancel_job(job: str) -> Steps[Cancelled]:
    """Cancel what is not final of a job."""
    return read(Cancelled, Request("POST", f"/jobs/{segment(job)}/cancel"))


def fax(fax: str) -> Steps[Fax]:
    """One fax."""
    return read(Fax, get(_of(fax)))


def job(job: str) -> Steps[Job]:
    """One job."""
    return read(Job, get(f"/jobs/{segment(job)}"))


def faxes(filters: Mapping[str, object], cursor: object) -> Steps[FaxPage]:
    """One part of a list."""
    return read(FaxPage, get("/faxes", **filters, cursor=cursor))


def page(fax: str, page: int, format: str) -> Steps[bytes]:
    """One page."""
    return _octets(get(f"{_of(fax)}/pages/{page}", format=format))


def file(fax: str, format: str) -> Steps[bytes]:
    """All pages."""
    return _octets(get(f"{_of(fax)}/file", format=format))


def document(fax: str, position: int) -> Steps[bytes]:
    """A document as it was handed in."""
    return _octets(get(f"{_of(fax)}/documents/{position}"))


def attempts(fax: str) -> Steps[Attempts]:
    """The calls of a fax."""
    return read(Attempts, get(f"{_of(fax)}/attempts"))


def ladder(fax: str, attempt: str) -> Steps[CallLadder]:
    """What the two machines said in a call."""
    return read(CallLadder, get(f"{_of(fax)}/attempts/{segment(attempt)}/ladder"))


def acknowledge(fax: str) -> Steps[Fax]:
    """Say that a received fax was fetched."""
    return read(Fax, Request("POST", f"{_of(fax)}/acknowledge"))


def account() -> Steps[Account]:
    """Who the credentials are."""
    return read(Account, get("/account"))


def destination(number: str) -> Steps[Destination]:
    """What is known of a number."""
    return read(Destination, get(f"/destinations/{segment(number)}"))


def webhooks() -> Steps[Webhooks]:
    """All webhooks."""
    return read(Webhooks, get("/webhooks"))


def create_webhook(url: str, events: Sequence[str], description: str) -> Request:
    """Make a webhook: a request to be made once, for a second would make a second webhook."""
    return Request("POST", "/webhooks", json={"url": url, "events": list(events), "description": description})


def in_order(faxes: Sequence[Fax]) -> list[Fax]:
    """The faxes of a job as its recipients stood in the request."""
    return sorted(faxes, key=lambda fax: fax.position or 0)


def _of(fax: str) -> str:
    return f"/faxes/{segment(fax)}"


def _octets(request: Request) -> Steps[bytes]:
    answer = yield from steps.ask(request)
    return answer.body
