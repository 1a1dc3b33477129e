"""The client for programs that wait for each answer. See `faxgw.sdk`; its twin is `faxgw.sdk.asynchronous`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx

from faxgw.api.v1.account import Account, Destination, NumberShown, SettingsShown, UserShown
from faxgw.api.v1.calls import Attempts, CallLadder
from faxgw.api.v1.contents import Documents, Pages, PreviewShown
from faxgw.api.v1.events import Event, FaxEvents
from faxgw.api.v1.fax_models import Accepted, Cancelled, Fax, Job
from faxgw.api.v1.templates import TemplateFacts, Templates
from faxgw.api.v1.webhooks import TryShown, WebhookMade, Webhooks, WebhookShown
from faxgw.sdk import steps, work
from faxgw.sdk.connection import POLL_S, TIMEOUT_S, Connection, answer_of, lost
from faxgw.sdk.errors import ApiError
from faxgw.sdk.steps import Answer, Lost, Pause, Request, Steps
from faxgw.sdk.stream import EventReader

T = TypeVar("T")
P = TypeVar("P", bound=work.Part)


class Client:
    """Speaks with one gateway. Use it in a `with` block, or close it.

    Args:
        server: Its address, `https://fax.example.org`.
        token: An API token; or `login`, a name and its password.
        login: See `token`.
        http: An httpx client of your own, for proxies and certificates; it stays yours.
        timeout: Seconds without a sign of the gateway, for one request.
    """

    def __init__(
        self,
        server: str,
        *,
        token: str = "",
        login: tuple[str, str] | None = None,
        http: httpx.Client | None = None,
        timeout: float = TIMEOUT_S,
    ) -> None:
        self._own = http is None
        self._http = http or httpx.Client(timeout=timeout)
        self._connection = Connection(server, token, login)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        if self._own:
            self._http.close()

    # --------------------------------------------------------------------------------------------------- sending

    def send(
        self,
        to: str | Mapping[str, object] | Sequence[str | Mapping[str, object]],
        documents: Sequence[str | Path | bytes | tuple[str, bytes] | Mapping[str, object]],
        *,
        key: str | None = None,
        **fields: object,
    ) -> Accepted:
        """Send a fax; from the answer on nothing of it is lost.

        Args:
            to: A number, several, or recipients with `number`, `alternatives`, `properties`.
            documents: Paths, octets, (name, octets), or {"url": …} for the gateway to fetch.
            key: Idempotency-Key; None: a new one, which makes retries of this call safe.
            fields: `reference`, `cost_centre`, `subject`, `cover`, `options`, … as docs/api.md has them.

        Raises:
            ApiError: If it is refused.
            NoAnswer: If none came; send it again with the same `key`.
        """
        return self._run(work.send(to, documents, key, fields))

    def resend(self, fax: str, *, key: str | None = None, **fields: object) -> Accepted:
        """Send a fax again, as a new job; `to` and `marked` as docs/api.md has them."""
        return self._run(work.resend(fax, key, fields))

    def resend_job(self, job: str, *, key: str | None = None, **fields: object) -> Accepted:
        """Send a job again to those who did not get it; `states` and `marked` as docs/api.md has them."""
        return self._run(work.resend_job(job, key, fields))

    def cancel(self, fax: str) -> Fax:
        """Cancel a fax. Raises ApiError with code `final` when it is too late."""
        return self._run(work.cancel(fax))

    def cancel_job(self, job: str) -> Cancelled:
        """Cancel what is not final of a job."""
        return self._run(work.cancel_job(job))

    # --------------------------------------------------------------------------------------------------- looking

    def fax(self, fax: str) -> Fax:
        """One fax."""
        return self._run(work.fax(fax))

    def job(self, job: str) -> Job:
        """One job."""
        return self._run(work.job(job))

    def faxes(self, *, cursor: str | None = None, **filters: object) -> Iterator[Fax]:
        """All faxes that the filters let through, newest first, part by part; filters as docs/api.md has them."""
        for page in self._parts(partial(work.faxes, filters), cursor):
            yield from page.faxes

    def wait(self, job: str, *, within: float | None = None, every: float = POLL_S) -> list[Fax]:
        """The faxes of a job, in order, once all of them are final.

        Args:
            job: The job.
            within: Seconds; None: for ever.
            every: Seconds between looks.

        Raises:
            TimeoutError: If they are not, by then.
        """
        ends = None if within is None else time.monotonic() + within
        while (summed := self.job(job)).finished_at is None:
            if ends is not None and time.monotonic() + every > ends:
                raise TimeoutError(f"{job} is not finished: {summed.states}")
            time.sleep(every)
        return work.in_order(list(self.faxes(job=job, limit=200)))

    def page(self, fax: str, page: int, *, format: str = "png") -> bytes:
        """A page as `png`, `tiff` or `pdf`."""
        return self._run(work.page(fax, page, format))

    def file(self, fax: str, *, format: str = "pdf") -> bytes:
        """The whole fax as `pdf` or `tiff`."""
        return self._run(work.file(fax, format))

    def document(self, fax: str, position: int) -> bytes:
        """A document as it was handed in."""
        return self._run(work.document(fax, position))

    def attempts(self, fax: str) -> Attempts:
        """The calls of a fax."""
        return self._run(work.attempts(fax))

    def ladder(self, fax: str, attempt: str) -> CallLadder:
        """What the two machines said in a call."""
        return self._run(work.ladder(fax, attempt))

    def acknowledge(self, fax: str) -> Fax:
        """Say that a received fax was fetched."""
        return self._run(work.acknowledge(fax))

    def account(self) -> Account:
        """Who these credentials are."""
        return self._run(work.account())

    def destination(self, number: str) -> Destination:
        """What is known of a number to dial, in international form."""
        return self._run(work.destination(number))

    def webhooks(self) -> Webhooks:
        """All webhooks."""
        return self._run(work.webhooks())

    def create_webhook(self, url: str, events: Sequence[str], description: str = "") -> WebhookMade:
        """Make a webhook; its secret is in this answer alone. Not tried again: it would be made twice."""
        got = self._send(work.create_webhook(url, events, description))
        return WebhookMade.model_validate_json(steps.counted(got).body)

    def documents(self, fax: str) -> Documents:
        """The documents of a fax, in order."""
        return self._run(work.documents(fax))

    def pages(self, fax: str) -> Pages:
        """The pages of a fax: their sizes, and whether they were confirmed."""
        return self._run(work.pages(fax))

    def preview(self, fax: str) -> PreviewShown:
        """What a fax looks like and will take, before it is called too."""
        return self._run(work.preview(fax))

    def fax_events(self, fax: str) -> FaxEvents:
        """What happened to a fax, oldest first."""
        return self._run(work.fax_events(fax))

    def settings(self) -> SettingsShown:
        """Every setting in force, with where it comes from."""
        return self._run(work.settings())

    def number(self, number: str) -> NumberShown:
        """One number of the account, in international form."""
        return self._run(work.number(number))

    def user(self, user: str) -> UserShown:
        """One user of the account."""
        return self._run(work.user(user))

    def webhook(self, webhook: str) -> WebhookShown:
        """One webhook."""
        return self._run(work.webhook(webhook))

    def change_webhook(self, webhook: str, **fields: object) -> WebhookShown:
        """Change `url`, `events`, `description` or `active` of a webhook."""
        return self._run(work.change_webhook(webhook, fields))

    def remove_webhook(self, webhook: str) -> None:
        """Remove a webhook with its log."""
        return self._run(work.remove_webhook(webhook))

    def repeat_delivery(self, webhook: str, message: str) -> None:
        """Send a message to a webhook once more."""
        return self._run(work.repeat_delivery(webhook, message))

    def templates(self) -> Templates:
        """The cover pages and overlays that a fax may name."""
        return self._run(work.templates())

    def template(self, kind: str, name: str) -> TemplateFacts:
        """One of them; `kind` is `cover` or `overlay`."""
        return self._run(work.template(kind, name))

    def remove_template(self, kind: str, name: str) -> None:
        """Remove a template of the account."""
        return self._run(work.remove_template(kind, name))

    def template_content(self, kind: str, name: str) -> bytes:
        """A template's file."""
        return self._run(work.template_content(kind, name))

    def template_preview(self, kind: str, name: str, **looks: object) -> bytes:
        """A page as a fax would have it, a PNG; `page`, `language`, `paper`, `resolution`."""
        return self._run(work.template_preview(kind, name, looks))

    def put_template(self, kind: str, name: str, content: bytes, given: Sequence[str] = ()) -> TemplateFacts:
        """Keep a template in place of that of the same name; `given` are the values that recipients bring."""
        return self._run(work.put_template(kind, name, content, given))

    def numbers(self) -> Iterator[NumberShown]:
        """All numbers of the account."""
        for part in self._parts(work.numbers):
            yield from part.numbers

    def users(self) -> Iterator[UserShown]:
        """All users of the account."""
        for part in self._parts(work.users):
            yield from part.users

    def deliveries(self, webhook: str) -> Iterator[TryShown]:
        """Every try to tell a webhook, newest first."""
        for part in self._parts(partial(work.deliveries, webhook)):
            yield from part.deliveries

    def rotate_webhook(self, webhook: str) -> WebhookMade:
        """Give a webhook another secret, told here alone; the former one signs too for a day. Not tried again."""
        got = self._send(work.rotate_webhook(webhook))
        return WebhookMade.model_validate_json(steps.counted(got).body)

    def events(self, *, after: str = "") -> Iterator[Event]:
        """Everything as it happens, for ever; a connection that breaks is made again and nothing is missed.

        Args:
            after: Id of the last event that is known; empty: from now on.

        Raises:
            ApiError: If the gateway refuses.
        """
        reader = EventReader(after)
        while True:
            try:
                with self._http.stream(**self._connection.following(reader)) as got:
                    if got.status_code >= 400:
                        body = got.read()
                        steps.counted(Answer(got.status_code, {}, body))
                    for line in got.iter_lines():
                        if (event := reader.feed(line)) is not None:
                            yield event
            except httpx.TransportError:
                pass  # what broke is made again
            except ApiError as exc:
                if not exc.temporary:
                    raise
            time.sleep(reader.retry)

    # --------------------------------------------------------------------------------------------------- carrying out

    def _parts(self, ask: Callable[[str | None], Steps[P]], begun: str | None = None) -> Iterator[P]:
        """A list part by part, from a cursor on; None: from its beginning."""
        part = self._run(ask(begun))
        yield part
        while part.next is not None:
            part = self._run(ask(part.next))
            yield part

    def _run(self, doing: Steps[T]) -> T:
        """Carry out a piece of work."""
        given: Answer | Lost | None = None
        while True:
            try:
                step = doing.send(given)
            except StopIteration as done:
                found: T = done.value
                return found
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                given = None
            else:
                given = self._send(step)

    def _send(self, request: Request) -> Answer | Lost:
        try:
            got = self._http.request(**self._connection.arguments(request))
        except httpx.TransportError as exc:
            return lost(exc)
        return answer_of(got)
