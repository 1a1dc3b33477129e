"""What each method of the clients asks the gateway: a piece of work (`faxgw.sdk.steps`) for each, written once. No I/O.

The clients say the same in their own way of waiting; paths, models and headers stand here alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Protocol

from faxgw.api.v1.account import Account, Destination, Numbers, NumberShown, SettingsShown, Users, UserShown
from faxgw.api.v1.calls import Attempts, CallLadder
from faxgw.api.v1.contents import Documents, Pages, PreviewShown
from faxgw.api.v1.events import FaxEvents
from faxgw.api.v1.fax_models import Accepted, Cancelled, Fax, FaxPage, Job
from faxgw.api.v1.templates import MEDIA, TemplateFacts, Templates
from faxgw.api.v1.webhooks import Tries, Webhooks, WebhookShown
from faxgw.sdk import steps
from faxgw.sdk.steps import Request, Steps, get, read, segment

OCTETS = {"Content-Type": MEDIA}


class Part(Protocol):
    """One part of a list."""

    @property
    def next(self) -> str | None:
        """Where the next one begins; None: there is none."""
        ...


def send(to: object, documents: Sequence[object], key: str | None, fields: Mapping[str, object]) -> Steps[Accepted]:
    """Send a fax; without a key a new one makes the tries of this work one request."""
    return read(Accepted, steps.sending(to, documents, key, fields))


def resend(fax: str, key: str | None, fields: Mapping[str, object]) -> Steps[Accepted]:
    """Send a fax again, with a key as in `send`."""
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    return read(Accepted, Request("POST", f"{_of(fax)}/resend", json=fields, headers=headers))


def resend_job(job: str, key: str | None, fields: Mapping[str, object]) -> Steps[Accepted]:
    """Send a job again to those who did not get it, with a key as in `send`."""
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    return read(Accepted, Request("POST", f"/jobs/{segment(job)}/resend", json=fields, headers=headers))


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


def documents(fax: str) -> Steps[Documents]:
    """The documents of a fax, in order."""
    return read(Documents, get(f"{_of(fax)}/documents"))


def pages(fax: str) -> Steps[Pages]:
    """The pages of a fax: their sizes, and whether they were confirmed."""
    return read(Pages, get(f"{_of(fax)}/pages"))


def preview(fax: str) -> Steps[PreviewShown]:
    """What a fax looks like and will take, before it is called too."""
    return read(PreviewShown, get(f"{_of(fax)}/preview"))


def fax_events(fax: str) -> Steps[FaxEvents]:
    """What happened to a fax, oldest first."""
    return read(FaxEvents, get(f"{_of(fax)}/events"))


def settings() -> Steps[SettingsShown]:
    """Every setting in force, with where it comes from."""
    return read(SettingsShown, get("/account/settings"))


def number(number: str) -> Steps[NumberShown]:
    """One number of the account, in international form."""
    return read(NumberShown, get(f"/numbers/{segment(number)}"))


def user(user: str) -> Steps[UserShown]:
    """One user of the account."""
    return read(UserShown, get(f"/users/{segment(user)}"))


def webhook(webhook: str) -> Steps[WebhookShown]:
    """One webhook."""
    return read(WebhookShown, get(_hook(webhook)))


def change_webhook(webhook: str, fields: Mapping[str, object]) -> Steps[WebhookShown]:
    """Change `url`, `events`, `description` or `active` of a webhook."""
    return read(WebhookShown, Request("PATCH", _hook(webhook), json=fields))


def remove_webhook(webhook: str) -> Steps[None]:
    """Remove a webhook with its log."""
    return _nothing(Request("DELETE", _hook(webhook)))


def repeat_delivery(webhook: str, message: str) -> Steps[None]:
    """Send a message to a webhook once more."""
    return _nothing(Request("POST", f"{_hook(webhook)}/deliveries/{segment(message)}/again"))


def templates() -> Steps[Templates]:
    """The cover pages and overlays that a fax may name."""
    return read(Templates, get("/templates"))


def template(kind: str, name: str) -> Steps[TemplateFacts]:
    """One of them; `kind` is `cover` or `overlay`."""
    return read(TemplateFacts, get(_template(kind, name)))


def remove_template(kind: str, name: str) -> Steps[None]:
    """Remove a template of the account."""
    return _nothing(Request("DELETE", _template(kind, name)))


def template_content(kind: str, name: str) -> Steps[bytes]:
    """A template's file."""
    return _octets(get(f"{_template(kind, name)}/content"))


def template_preview(kind: str, name: str, looks: Mapping[str, object]) -> Steps[bytes]:
    """A page as a fax would have it, a PNG; `page`, `language`, `paper`, `resolution`."""
    return _octets(get(f"{_template(kind, name)}/preview", **looks))


def put_template(kind: str, name: str, content: bytes, given: Sequence[str]) -> Steps[TemplateFacts]:
    """Keep a template in place of that of the same name."""
    query = (("given", ",".join(given)),) if given else ()
    return read(TemplateFacts, Request("PUT", _template(kind, name), query, body=content, headers=OCTETS))


def numbers(after: str | None) -> Steps[Numbers]:
    """One part of a list."""
    return read(Numbers, get("/numbers", after=after))


def users(after: str | None) -> Steps[Users]:
    """One part of a list."""
    return read(Users, get("/users", after=after))


def deliveries(webhook: str, cursor: str | None) -> Steps[Tries]:
    """One part of a log."""
    return read(Tries, get(f"{_hook(webhook)}/deliveries", cursor=cursor, limit=200))


def rotate_webhook(webhook: str) -> Request:
    """Give a webhook another secret: a request to be made once, for a second would end the one that programs know."""
    return Request("POST", f"{_hook(webhook)}/rotate")


def in_order(faxes: Sequence[Fax]) -> list[Fax]:
    """The faxes of a job as its recipients stood in the request."""
    return sorted(faxes, key=lambda fax: fax.position or 0)


def _of(fax: str) -> str:
    return f"/faxes/{segment(fax)}"


def _hook(webhook: str) -> str:
    return f"/webhooks/{segment(webhook)}"


def _template(kind: str, name: str) -> str:
    return f"/templates/{segment(kind)}/{segment(name)}"


def _nothing(request: Request) -> Steps[None]:
    yield from steps.ask(request)


def _octets(request: Request) -> Steps[bytes]:
    answer = yield from steps.ask(request)
    return answer.body
