"""Ways out by mail: the outbox's status mails, refusals, DSNs and received faxes, handed to an SMTP relay (RFC 5321).

One connection and one recipient per mail. A mail goes out at least once: when the reply to the final dot is lost it
goes again, octet for octet the same but for its signature, under one Message-ID, so that the reader's side can tell.
What is permanent is decided by the stage: only what the relay says of the recipient or of the content is; a relay that
is down, that does not know us or whose certificate is wrong is the operator's to mend, and the mail waits.
Status mails leave with the null return path unless the settings name one, DSNs always (RFC 3461 section 6.1), so that
their bounces cannot come back as faxes (RFC 3834 section 3.3).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import ipaddress
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self, TypedDict
from urllib.parse import urlsplit

import aiosmtplib
from pydantic import Field, field_validator, model_validator

from faxgw.delivery.dkim import Signer
from faxgw.delivery.mail_documents import MailDocuments, refuse_sealed
from faxgw.delivery.mail_oauth import oauth_login
from faxgw.delivery.mail_password import password_login
from faxgw.delivery.mail_route import Hop, MailRoutes
from faxgw.delivery.mail_ways import MailWays, trouble
from faxgw.delivery.received import Room
from faxgw.delivery.tokens import Grant, TokenSource
from faxgw.egress import Egress
from faxgw.fax.errors import FaxError, Refused
from faxgw.fax.ports import DeliveryResult, Enclosure, Parcel
from faxgw.formats import mail_template
from faxgw.formats.directory_mail import directory_mail
from faxgw.formats.dsn import dsn_mail
from faxgw.formats.enclosed import Attachment
from faxgw.formats.junk_mail import junk_mail
from faxgw.formats.mail_letter import PLAIN
from faxgw.formats.mail_template import MailTemplate
from faxgw.formats.outgoing_mail import Mailbox, mailbox
from faxgw.formats.pages_texts import pages_sentence
from faxgw.formats.received_mail import received_mail
from faxgw.formats.report_payload import (
    dsn_from_payload,
    original_from_payload,
    pages_from_payload,
    received_from_payload,
    refused_from_payload,
    report_from_payload,
    style_from_payload,
    told_from_payload,
)
from faxgw.formats.status_mail import refused_mail, status_mail
from faxgw.settings import Duration, Secret, Section

log = logging.getLogger(__name__)

QUIT_SECONDS = 5.0
"""Seconds that a goodbye may take after the mail was taken."""
MAX_ENCLOSED = 40 * 1024 * 1024
"""Octets of the documents of one mail; a relay that takes more than 55 MB of Base64 is rare, a fax page has 50 kB."""
EVERYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
"""Networks of places that the operator has named."""
MAX_STYLES = 16
"""Mail templates kept as they were read."""
LARGE = 2 * 1024 * 1024
"""Octets of documents above which a mail counts: it is in memory some four times while it is built and sent. All that
count may have MAX_ENCLOSED together."""
MAX_DETAIL = 300
"""Characters of a relay's words in a result."""
_ABOUT_US = frozenset({500, 502, 503, 504, 530, 534, 535, 538, 555})
"""Replies to RCPT or DATA that speak of our command or our login, not of the recipient (RFC 5321, RFC 4954)."""


class RelaySettings(Section):
    """`[relay]`: the SMTP server that takes our mails."""

    host: str = Field(default="127.0.0.1", pattern=r"^[A-Za-z0-9._:-]{1,255}$")
    """Name or address of the relay; with TLS, the name that its certificate must bear."""
    port: int = Field(default=25, ge=1, le=65535)
    """25, or 587 for submission, 465 for implicit TLS."""
    tls: Literal["none", "opportunistic", "starttls", "implicit"] = "opportunistic"
    """`starttls` and `implicit` check the certificate; `opportunistic` encrypts when offered, without proof of who
    answers (RFC 7435); `none` never does."""
    ca_file: Path | None = None
    """PEM file of certificate authorities to trust instead of the system's."""
    login: str = Field(default="", max_length=255)
    """User name at the relay; empty for none."""
    password: Secret | None = None
    """Its password. Only over checked TLS, or to a relay on this machine. PLAIN, LOGIN or CRAM-MD5, as it offers."""
    oauth_token_url: str = Field(default="", pattern=r"^(https?://[!-~]{1,1990})?$")
    """Where access tokens come from, for a relay that takes no password (XOAUTH2, OAUTHBEARER); empty: none."""
    oauth_client: str = Field(default="", max_length=255)
    """Client id at the token's server."""
    oauth_secret: Secret | None = None
    """The client's secret."""
    oauth_scope: str = Field(default="", pattern=r"^[!#-\[\]-~ ]{0,500}$")
    """Such as https://outlook.office365.com/.default; empty: the server's own."""
    oauth_refresh_token: Secret | None = None
    """For servers that give tokens to people only: a refresh token; without one the client asks for itself."""
    sender: str = "faxgw@localhost"
    """Address of the gateway, shown in From."""
    organisation: str = Field(default="Fax gateway", max_length=60)
    """Name shown in From and at the foot of a mail."""
    return_path: str = ""
    """Envelope sender; empty: the null sender, whose mails never bounce."""
    ehlo: str = Field(default="localhost", pattern=r"^[A-Za-z0-9.:\[\]-]{1,255}$")
    """Name given in EHLO."""
    timeout: Duration = Duration(60)
    """For everything up to the mail itself (RFC 5321 section 4.5.3.2 would wait 5 minutes for each reply)."""
    data_timeout: Duration = Duration(600)
    """For the mail and the reply to its final dot; giving up early sends a mail twice (section 4.5.3.2.6)."""

    @field_validator("sender", "return_path")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            return mailbox(value).address if value else value
        except FaxError as exc:
            raise ValueError("must be a mail address") from exc

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.sender:
            raise ValueError("sender must be a mail address")
        if self.timeout <= 0 or self.data_timeout <= 0:
            raise ValueError("timeout and data_timeout must be longer than nothing")
        oauth = (self.oauth_token_url, self.oauth_client, self.oauth_secret)
        if any(oauth) and not (all(oauth) and self.login and self.password is None):
            raise ValueError("oauth_token_url needs login, oauth_client and oauth_secret, and no password")
        if self.oauth_refresh_token is not None and not self.oauth_token_url:
            raise ValueError("oauth_refresh_token needs oauth_token_url")
        if self.oauth_token_url.startswith("http:") and not _is_loopback(urlsplit(self.oauth_token_url).hostname or ""):
            raise ValueError("oauth_token_url must begin with https:")
        if not any(oauth) and bool(self.login) != (self.password is not None):
            raise ValueError("login and password belong together")
        if self.login and self.tls in ("none", "opportunistic") and not _is_loopback(self.host):
            raise ValueError('a password needs tls = "starttls" or "implicit"')
        return self


class Stage(StrEnum):
    """How far a conversation with the relay came."""

    CONNECT = "connect"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"


class _Head(TypedDict):
    """What every mail is given."""

    to: str
    sender: str
    message_id: str
    date: float
    organisation: str


class MailDelivery:
    """Delivery adapter for `status_mail`, `refused_mail`, `dsn`, `received_mail`, `directory_mail`, `junk_mail`.

    Each goes to an address.

    Args:
        relay: Where the mails go.
        reporting_mta: Name under which this gateway takes mail, for DSNs (RFC 3464 section 2.2.2); empty: the name
            it gives the relay.
        routes: Where mails to some domains go; None: all to the relay.
        signer: Signs them; None: nobody does.
        fault: Told of every mail whose template failed, and that left in the shipped designs.
        documents: Names and encrypts the documents of received faxes; None: those that are to be encrypted stay.
        ways: Told how every try fared; None: nobody is.
    """

    kinds = ("status_mail", "refused_mail", "dsn", "received_mail", "directory_mail", "junk_mail")

    def __init__(
        self,
        relay: RelaySettings,
        reporting_mta: str = "",
        routes: MailRoutes | None = None,
        signer: Signer | None = None,
        fault: Callable[[], None] = lambda: None,
        documents: MailDocuments | None = None,
        ways: MailWays | None = None,
    ) -> None:
        self._fault = fault
        self._ways = ways
        self._documents = documents
        self._relay = relay
        self._routes = routes or MailRoutes(relay)
        self._signer = signer or Signer(())
        self._reporting_mta = reporting_mta or relay.ehlo
        self._sender = mailbox(relay.sender, relay.organisation)
        self._builders: Mapping[str, Callable[[Parcel], bytes]] = {
            "status_mail": self._status_mail,
            "refused_mail": self._refused_mail,
            "dsn": self._dsn,
            "received_mail": self._received_mail,
            "directory_mail": self._directory_mail,
            "junk_mail": self._junk_mail,
        }
        self._room = Room(MAX_ENCLOSED, LARGE)
        self._tokens = _tokens(relay)

    async def deliver(self, parcel: Parcel) -> DeliveryResult:
        """One try to hand the parcel's mail to the relay. Never raises for a failed delivery."""
        builder = self._builders.get(parcel.kind)
        if builder is None:
            return DeliveryResult(False, permanent=True, detail=f"no mail of kind {parcel.kind!r}")
        async with self._room.of(sum(enclosure.size for enclosure in parcel.enclosures)):
            return await self._build_and_send(parcel, builder)

    async def _build_and_send(self, parcel: Parcel, builder: Callable[[Parcel], bytes]) -> DeliveryResult:
        try:
            to = mailbox(parcel.target)
            async with self._prepared(parcel) as prepared:
                octets = await asyncio.to_thread(self._signed, builder, prepared)
        except (FaxError, ValueError, OverflowError, OSError) as exc:  # the latter three: a time beyond all calendars
            log.error("mail not built", extra={"event": "mail_not_built", "item": parcel.item, "detail": str(exc)})
            permanent = isinstance(exc, FaxError) and not exc.temporary
            return DeliveryResult(False, permanent=permanent, detail=_short(f"not built: {exc}"))
        return_path = "" if parcel.kind == "dsn" else self._relay.return_path  # RFC 3461 section 6.1
        result = await self._send(return_path, to, octets)
        event = "mail_delivered" if result.delivered else "mail_not_delivered"
        extra = {"event": event, "item": parcel.item, "permanent": result.permanent, "detail": result.detail}
        log.info("mail handed over" if result.delivered else "mail not handed over", extra=extra)
        return result

    @contextlib.asynccontextmanager
    async def _prepared(self, parcel: Parcel) -> AsyncIterator[Parcel]:
        """The parcel with its documents named and encrypted as its target wants."""
        if self._documents is None:
            refuse_sealed(parcel)
            yield parcel
            return
        async with self._documents.prepared(parcel) as prepared:
            yield prepared

    def _signed(self, builder: Callable[[Parcel], bytes], parcel: Parcel) -> bytes:
        return self._signer.sign(builder(parcel), self._sender.domain)

    def _status_mail(self, parcel: Parcel) -> bytes:
        report = report_from_payload(parcel.payload)
        enclosed = [Attachment(e.name, e.content_type, _content(e)) for e in parcel.enclosures]
        said = pages_sentence(pages_from_payload(parcel.payload), report.language)
        return self._styled(
            parcel, lambda style: status_mail(report, enclosed, style=style, enclosed=said, **self._head(parcel))
        )

    def _refused_mail(self, parcel: Parcel) -> bytes:
        report = refused_from_payload(parcel.payload)
        return self._styled(parcel, lambda style: refused_mail(report, style=style, **self._head(parcel)))

    def _directory_mail(self, parcel: Parcel) -> bytes:
        return directory_mail(
            parcel.payload,
            to=parcel.target,
            sender=self._sender.address,
            message_id=self.message_id(parcel),
            date=parcel.created_at,
            organisation=self._relay.organisation,
        )

    def _junk_mail(self, parcel: Parcel) -> bytes:
        return junk_mail(parcel.payload, **self._head(parcel))

    def _dsn(self, parcel: Parcel) -> bytes:
        return dsn_mail(
            told_from_payload(parcel.payload),
            dsn_from_payload(parcel.payload),
            original_from_payload(parcel.payload),
            to=parcel.target,
            sender=self._sender.address,
            reporting_mta=self._reporting_mta,
            message_id=self.message_id(parcel),
            date=parcel.created_at,
            organisation=self._relay.organisation,
        )

    def _received_mail(self, parcel: Parcel) -> bytes:
        if sum(enclosure.size for enclosure in parcel.enclosures) > MAX_ENCLOSED:
            raise Refused("too large for a mail", public="The fax is too large to be sent by mail.")
        report, png = received_from_payload(parcel.payload), base64.b64decode(str(parcel.payload.get("thumbnail", "")))
        enclosed = [Attachment(e.name, e.content_type, _content(e)) for e in parcel.enclosures]
        return self._styled(
            parcel, lambda style: received_mail(report, enclosed, thumbnail=png, style=style, **self._head(parcel))
        )

    def _styled(self, parcel: Parcel, build: Callable[[MailTemplate], bytes]) -> bytes:
        """A mail in the customer's words and colours; where these fail, in the shipped ones: somebody waits for it."""
        content = style_from_payload(parcel.payload)
        if not content:
            return build(PLAIN)
        try:
            return build(_style(content))
        except Exception:  # a fault of a template is never a reason not to tell; one of the report fails again below
            log.exception("mail template failed", extra={"event": "mail.template", "item": parcel.item})
            self._fault()
            return build(PLAIN)

    def _head(self, parcel: Parcel) -> _Head:
        return {
            "to": parcel.target,
            "sender": self._sender.address,
            "message_id": self.message_id(parcel),
            "date": parcel.created_at,
            "organisation": self._relay.organisation,
        }

    def message_id(self, parcel: Parcel) -> str:
        """The Message-ID of every try of this parcel."""
        return f"<{parcel.item}@{self._sender.domain.strip('[]').replace(':', '.')}>"

    # ------------------------------------------------------------------------------------- the conversation

    async def _send(self, return_path: str, to: Mailbox, octets: bytes) -> DeliveryResult:
        """Hand it to the first server that can be reached; what that one says is the result."""
        try:
            hops = await self._routes.hops(to.domain)
        except FaxError as exc:
            return DeliveryResult(False, permanent=not exc.temporary, detail=_short(str(exc)))
        result = DeliveryResult(False, detail="no server")
        for hop in hops:
            stage, result = await self._hand_over(hop, return_path, to, octets)
            if stage is not Stage.CONNECT:
                break
        return result

    def _tried(self, hop: Hop, why: str = "") -> None:
        if self._ways is not None and hop.way:
            self._ways.tried(hop.way, why)

    async def _hand_over(self, hop: Hop, return_path: str, to: Mailbox, octets: bytes) -> tuple[Stage, DeliveryResult]:
        client, stage = self._client(hop), Stage.CONNECT
        try:
            async with asyncio.timeout(self._relay.timeout):
                await self._open(client, hop)
                stage, utf8 = Stage.MAIL, to.needs_smtputf8
                if utf8 and not client.supports_extension("smtputf8"):
                    return stage, DeliveryResult(
                        False, permanent=True, detail="the relay does not take such an address"
                    )
                options = _options(client, octets, utf8)
                if hop.require_tls:
                    if not client.supports_extension("requiretls"):
                        return stage, DeliveryResult(
                            False, detail="the server cannot promise TLS on the further way (REQUIRETLS)"
                        )
                    options.append("REQUIRETLS")
                encoding = "utf-8" if utf8 else "ascii"
                await client.mail(return_path, options=options, encoding=encoding)
                stage = Stage.RCPT
                await client.rcpt(to.address, encoding=encoding)
            stage = Stage.DATA
            async with asyncio.timeout(self._relay.data_timeout):
                reply = await client.data(octets)
            await self._quit(client)
        except aiosmtplib.SMTPResponseException as exc:
            told = trouble(exc, connected=stage is not Stage.CONNECT, about_us=not _about_mail(stage, exc.code))
            self._tried(hop, told)
            return stage, _refusal(stage, exc.code, exc.message)
        except TimeoutError as exc:
            self._tried(hop, trouble(exc, connected=stage is not Stage.CONNECT, about_us=True))
            return stage, DeliveryResult(False, detail=f"{stage}: no answer in time")
        except (OSError, aiosmtplib.SMTPException, ValueError) as exc:
            # OSError: refused, reset, TLS; ValueError: what the client itself will not say
            self._tried(hop, trouble(exc, connected=stage is not Stage.CONNECT, about_us=True))
            return stage, DeliveryResult(False, detail=_short(f"{stage}: {type(exc).__name__}: {exc}"))
        finally:
            client.close()
        self._tried(hop)
        return stage, DeliveryResult(True, detail=_short(reply.message))

    async def try_out(self, hop: Hop) -> str:
        """Connect, encrypt and log in as a mail would; what was found, in words.

        Raises:
            OSError: If a mail would not get through; the text says why.
        """
        client = self._client(hop)
        try:
            async with asyncio.timeout(self._relay.timeout):
                await self._open(client, hop)
            tls = client.get_transport_info("ssl_object")
            proof = "certificate checked" if hop.tls in ("enforced", "implicit") else "certificate not checked"
            said = [f"{hop.host}:{hop.port} answers", f"{tls.version()}, {proof}" if tls is not None else "in clear"]
            said += [f"{hop.login} is logged in"] if hop.login else []
            if hop.require_tls and not client.supports_extension("requiretls"):
                raise OSError("it cannot promise TLS on the further way (REQUIRETLS)")
            await self._quit(client)
        except TimeoutError as exc:
            raise OSError("no answer in time") from exc
        except (aiosmtplib.SMTPException, ValueError) as exc:
            raise OSError(_short(f"{type(exc).__name__}: {exc}")) from exc
        finally:
            client.close()
        return ", ".join(said)

    async def _open(self, client: aiosmtplib.SMTP, hop: Hop) -> None:
        """Connect, encrypt as the way demands, log in."""
        await client.connect()
        await _greet(client)
        if hop.tls in ("enforced", "opportunistic"):
            if client.supports_extension("starttls"):
                await client.starttls(tls_context=hop.context, server_hostname=hop.name or None)
                await _greet(client)
            elif hop.tls == "enforced":
                raise aiosmtplib.SMTPException(f"{hop.host} offers no TLS, which is demanded")
        if hop.oauth and self._tokens is not None:
            await oauth_login(client, hop.login, hop.host, hop.port, self._tokens)
        elif hop.login and hop.password is not None:
            await password_login(client, hop.login, hop.password.reveal(), hop.host)

    def _client(self, hop: Hop) -> aiosmtplib.SMTP:
        """A client without timeouts of its own: its `wait_for` can swallow a cancellation (Python before 3.12)."""
        return aiosmtplib.SMTP(
            hostname=hop.host,
            port=hop.port,
            local_hostname=self._relay.ehlo,
            timeout=None,
            use_tls=hop.tls == "implicit",
            start_tls=False,
            tls_context=hop.context,
        )

    async def _quit(self, client: aiosmtplib.SMTP) -> None:
        """Say goodbye; the mail is the relay's already, so nothing that happens here matters."""
        try:
            async with asyncio.timeout(QUIT_SECONDS):
                await client.quit()
        except (OSError, aiosmtplib.SMTPException):
            log.debug("relay went away before QUIT")


def _tokens(relay: RelaySettings) -> TokenSource | None:
    """The relay's access tokens. Its operator has named their server, so it may stand in a network of his own."""
    if not relay.oauth_token_url or relay.oauth_secret is None:
        return None
    refresh = relay.oauth_refresh_token.reveal() if relay.oauth_refresh_token is not None else ""
    secret = relay.oauth_secret.reveal()
    grant = Grant(relay.oauth_token_url, relay.oauth_client, secret, relay.oauth_scope, refresh)
    return TokenSource(grant, Egress(EVERYWHERE), time.monotonic)


@functools.lru_cache(maxsize=MAX_STYLES)
def _style(content: bytes) -> MailTemplate:
    """A mail template; a list's reports ask for the same one a hundred times."""
    return mail_template.read(content)


def _content(enclosure: Enclosure) -> bytes:
    """The document, which is what was stored."""
    octets = os.pread(enclosure.descriptor, enclosure.size, 0)
    if len(octets) != enclosure.size or hashlib.sha256(octets).hexdigest() != enclosure.sha256:
        raise FaxError(f"{enclosure.name} was not read as it was stored")
    return octets


async def _greet(client: aiosmtplib.SMTP) -> None:
    """EHLO, unless TLS or AUTH has said it already, else HELO (RFC 5321 section 3.2)."""
    if not client.is_ehlo_or_helo_needed:
        return
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()


def _options(client: aiosmtplib.SMTP, octets: bytes, utf8: bool) -> list[str]:
    """Parameters of MAIL: the size (RFC 1870), and what a mail that is not 7 bit needs (RFC 6152, RFC 6531)."""
    options = [f"SIZE={len(octets)}"] if client.supports_extension("size") else []
    if utf8:
        options += ["SMTPUTF8"] + (["BODY=8BITMIME"] if client.supports_extension("8bitmime") else [])
    return options


def _refusal(stage: Stage, code: int, text: str) -> DeliveryResult:
    """What a reply of 4xx or 5xx means for the mail.

    552 to MAIL is about the mail's size and permanent; every other refusal before RCPT is about us.
    """
    permanent = _about_mail(stage, code) and 500 <= code <= 599
    return DeliveryResult(False, permanent=permanent, detail=_short(f"{stage}: {code} {text}"))


def _about_mail(stage: Stage, code: int) -> bool:
    """Whether a reply speaks of this mail or its recipient."""
    if code in _ABOUT_US:
        return False
    return stage in (Stage.RCPT, Stage.DATA) or (stage is Stage.MAIL and code == 552)


def _short(text: str) -> str:
    return " ".join(text.split())[:MAX_DETAIL]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
