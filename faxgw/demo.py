"""The demo's mailbox: an SMTP server on loopback that keeps every mail as a file, and pages to read them.

`faxgw run --demo` gives it to the gateway as the relay, so that a newcomer sees the status mails without a mail
server of their own; the tests use it as a real relay. It takes any recipient, and delivers nothing anywhere.
What a page shows of a mail is text, a picture that is a PNG, and the HTML part in a frame that can do nothing.
"""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import ipaddress
import itertools
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path

import jinja2
from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from faxgw.formats.outgoing_mail import one_line

MAX_MAILS = 500
"""Mails kept; the oldest give way."""
MAX_OCTETS = 20_000_000
"""Octets of one mail (SIZE)."""
MAX_CONNECTIONS = 50
"""SMTP connections at a time; one more is told 421."""
IDLE_SECONDS = 120.0
"""Seconds that a connection may be silent."""
REFRESH_SECONDS = 3
"""Seconds between two looks at the list."""
_NAME = re.compile(r"(\d{6,12})-[a-z0-9-]{1,60}\.eml")
_PNG = b"\x89PNG\r\n\x1a\n"
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; frame-src 'self'; frame-ancestors 'self'"
_FRAME_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


@dataclass(frozen=True, slots=True)
class StoredMail:
    """A mail in the folder."""

    number: int
    """Counts up and is never used again."""
    path: Path
    octets: bytes

    @property
    def message(self) -> EmailMessage:
        """The mail, parsed."""
        return email.message_from_bytes(self.octets, policy=email.policy.default)


class MailboxSink:
    """The mailbox: `start`, `port`, `stop`; `routes` for a web server.

    Args:
        folder: Where the mails lie as `<number>-<subject>.eml`; made when it is missing.
        host: A loopback address.
        port: 0 lets the system choose.
        path: Where `routes` begin.

    Raises:
        ValueError: If `host` is not this machine alone.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0, *, path: str = "/mailbox") -> None:
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise ValueError("the demo's mailbox listens on loopback only")
        self.folder = folder
        self.host = host
        self.path = path.rstrip("/")
        self._wanted_port = port
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._numbers: Iterator[int] = itertools.count(1)
        self._storing = asyncio.Lock()
        self._arrived = asyncio.Condition()

    @property
    def port(self) -> int:
        """The bound port.

        Raises:
            RuntimeError: Before `start`.
        """
        if self._server is None:
            raise RuntimeError("the mailbox is not started")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: If the port is taken or the folder cannot be made.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for torn in self.folder.glob(".*.part"):
            torn.unlink()
        self._numbers = itertools.count(max((number for number, _ in self._files()), default=0) + 1)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, self.host, self._wanted_port)

    async def stop(self) -> None:
        """Stop listening and end the connections."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in list(self._connections):
            await connection.end()
        await server.wait_closed()

    def mails(self) -> list[StoredMail]:
        """All mails, oldest first."""
        return [StoredMail(number, path, path.read_bytes()) for number, path in self._files()]

    async def wait_for(self, count: int) -> list[StoredMail]:
        """All mails, as soon as `count` of them are there. Waits for ever; the caller sets the deadline."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self._files()) >= count)
        return self.mails()

    def routes(self) -> list[web.RouteDef]:
        """Pages for a web server: the list, a mail, its HTML part, its picture, the file."""
        one = self.path + r"/{number:\d{1,12}}"
        return [
            web.get(self.path, self._list_page),
            web.get(one, self._mail_page),
            web.get(one + "/html", self._html_page),
            web.get(one + "/picture.png", self._picture),
            web.get(one + "/mail.eml", self._raw),
        ]

    # ------------------------------------------------------------------------------------------------- taking

    def _accept(self) -> asyncio.Protocol:
        return _Connection(self)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd
        """Store a mail and answer its final dot."""
        content = envelope.content or b""
        octets = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
        trace = [f"Return-Path: <{(envelope.mail_from or '').strip('<>')}>"] + [
            f"Delivered-To: {to}" for to in envelope.rcpt_tos
        ]
        block = "".join(f"{one_line(line, 900)}\r\n" for line in trace).encode()
        async with self._storing:
            number = next(self._numbers)
            await asyncio.to_thread(self._store, number, block + octets)
        async with self._arrived:
            self._arrived.notify_all()
        return f"250 2.0.0 Stored as {number}"

    def _store(self, number: int, octets: bytes) -> None:
        message = email.message_from_bytes(octets, policy=email.policy.default)
        name = f"{number:06}-{_slug(_header(message, 'Subject'))}.eml"
        part = self.folder / f".{name}.part"
        with part.open("wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        part.rename(self.folder / name)
        for _, path in self._files()[:-MAX_MAILS]:
            path.unlink(missing_ok=True)

    def _files(self) -> list[tuple[int, Path]]:
        found = ((_NAME.fullmatch(path.name), path) for path in self.folder.iterdir())
        return sorted((int(match[1]), path) for match, path in found if match)

    # ------------------------------------------------------------------------------------------------ showing

    async def _list_page(self, request: web.Request) -> web.Response:
        rows = await asyncio.to_thread(self._rows)
        return _page("list", base=self.path, rows=rows, refresh=REFRESH_SECONDS, limit=MAX_MAILS)

    def _rows(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for mail in reversed(self.mails()):
            message = mail.message
            row: dict[str, object] = {"number": mail.number, "when": _when(message)}
            row |= {name.lower(): _header(message, name) for name in ("Subject", "From", "To")}
            rows.append(row)
        return rows

    async def _mail_page(self, request: web.Request) -> web.Response:
        mail = self._mail(request)
        message = mail.message
        return _page(
            "mail",
            base=self.path,
            number=mail.number,
            file=mail.path.name,
            headers=[(n, _header(message, n)) for n in ("Subject", "From", "To", "Date", "Return-Path", "Message-ID")],
            text=_text(message, "plain"),
            html=bool(_text(message, "html")),
            picture=bool(_pictures(message)),
        )

    async def _html_page(self, request: web.Request) -> web.Response:
        """The HTML part in a document that runs nothing, loads nothing and stands in an origin of its own."""
        message = self._mail(request).message
        html = _text(message, "html")
        for content_id, png in _pictures(message).items():
            html = html.replace(f"cid:{content_id}", "data:image/png;base64," + base64.b64encode(png).decode("ascii"))
        return web.Response(text=html, content_type="text/html", headers=_guarded(_FRAME_POLICY))

    async def _picture(self, request: web.Request) -> web.Response:
        for png in _pictures(self._mail(request).message).values():
            return web.Response(body=png, content_type="image/png", headers=_guarded(_FRAME_POLICY))
        raise web.HTTPNotFound

    async def _raw(self, request: web.Request) -> web.Response:
        mail = self._mail(request)
        headers = _guarded(_FRAME_POLICY) | {"Content-Disposition": f'attachment; filename="{mail.path.name}"'}
        return web.Response(body=mail.octets, content_type="message/rfc822", headers=headers)

    def _mail(self, request: web.Request) -> StoredMail:
        wanted = int(request.match_info["number"])
        for number, path in self._files():
            if number == wanted:
                return StoredMail(number, path, path.read_bytes())
        raise web.HTTPNotFound


class _Connection(SMTP):
    """One SMTP connection of the mailbox."""

    def __init__(self, sink: MailboxSink) -> None:
        super().__init__(
            sink,
            data_size_limit=MAX_OCTETS,
            enable_SMTPUTF8=True,
            hostname="localhost",
            ident="faxgw demo mailbox",
            timeout=IDLE_SECONDS,
            loop=asyncio.get_running_loop(),
        )
        self._sink = sink

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, or turn it away."""
        if len(self._sink._connections) >= MAX_CONNECTIONS:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"421 4.3.2 Too many connections\r\n")
            transport.close()
            return
        self._sink._connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the connection."""
        if self in self._sink._connections:
            self._sink._connections.discard(self)
            super().connection_lost(error)

    async def end(self) -> None:
        """Close the connection and wait for its task."""
        task = self._handler_coroutine
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()
        if task is not None:
            task.cancel()
            await asyncio.wait({task})


# ------------------------------------------------------------------------------------------------ mail contents


def _slug(subject: str) -> str:
    """`delivered-3-pages-to-33-1` of a subject: safe as a file's name."""
    ascii_text = unicodedata.normalize("NFKD", subject).encode("ascii", "ignore").decode("ascii").lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:60].strip("-") or "mail"


def _header(message: EmailMessage, name: str) -> str:
    try:
        return one_line(str(message.get(name, "")), 300)
    except (ValueError, IndexError, LookupError, AttributeError):  # what the parser raises for damaged headers
        return "(unreadable)"


def _when(message: EmailMessage) -> str:
    try:
        return parsedate_to_datetime(str(message["Date"])).strftime("%Y-%m-%d %H:%M:%S %z")
    except (ValueError, TypeError, IndexError):
        return ""


def _text(message: EmailMessage, subtype: str) -> str:
    """The text or the HTML of a mail, or empty."""
    part = message.get_body((subtype,))
    if not isinstance(part, EmailMessage):
        return ""
    try:
        return str(part.get_content())
    except (LookupError, ValueError, AttributeError):
        return ""


def _pictures(message: EmailMessage) -> dict[str, bytes]:
    """Content-ID → PNG of the pictures that are one."""
    found = {}
    for part in message.walk():
        content_id = str(part.get("Content-ID", "")).strip("<> ")
        if content_id and part.get_content_type() == "image/png":
            octets = part.get_payload(decode=True)
            if isinstance(octets, bytes) and octets.startswith(_PNG):
                found[content_id] = octets
    return found


def _page(name: str, **values: object) -> web.Response:
    html = _PAGES.get_template(name).render(values)
    return web.Response(text=html, content_type="text/html", headers=_guarded(_PAGE_POLICY))


def _guarded(policy: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
{% if refresh %}<meta http-equiv="refresh" content="{{ refresh }}">{% endif %}
<title>{{ title or "Mailbox" }}</title><style>
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
th, td { padding: .3rem .8rem .3rem 0; vertical-align: top; border-bottom: 1px solid #8884; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #8886; padding: .8rem; }
iframe { width: 100%; height: 46rem; border: 1px solid #8886; } img { width: 10rem; border: 1px solid #888; }
td { min-width: 9em; } .whole { white-space: nowrap; } .quiet { opacity: .7; }
</style></head><body>"""

_PAGES = jinja2.Environment(
    autoescape=True,
    undefined=jinja2.Undefined,
    loader=jinja2.DictLoader(
        {
            "list": _HEAD
            + """<h1>Mailbox of the demo</h1>
<p class="quiet">Every mail that the gateway sends ends here. The last {{ limit }} are kept; this page looks again every
{{ refresh }} seconds.</p>
{% if rows %}<table><tr><th scope="col">Subject</th><th scope="col">To</th><th scope="col">Date</th></tr>
{% for row in rows %}<tr><td><a href="{{ base }}/{{ row.number }}">{{ row.subject or "(no subject)" }}</a></td>
<td>{{ row.to }}</td><td class="whole">{{ row.when }}</td></tr>{% endfor %}</table>
{% else %}<p>No mail yet.</p>{% endif %}</body></html>""",
            "mail": _HEAD
            + """<p><a href="{{ base }}">All mails</a></p>
<table>{% for name, value in headers %}<tr><th scope="row">{{ name }}</th><td>{{ value }}</td></tr>{% endfor %}</table>
{% if html %}<h2>As HTML</h2>
<iframe sandbox title="HTML part of the mail" src="{{ base }}/{{ number }}/html"></iframe>{% endif %}
<h2>As text</h2><pre>{{ text }}</pre>
{% if picture %}<h2>Picture</h2><img src="{{ base }}/{{ number }}/picture.png" alt="Picture in the mail">{% endif %}
<p class="quiet"><a href="{{ base }}/{{ number }}/mail.eml">{{ file }}</a></p></body></html>""",
        }
    ),
)
