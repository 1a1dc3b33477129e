"""Settings of the SMTP server: `[smtp]` and its `[[smtp.listeners]]`.

The limits are Postfix's defaults where Postfix has one (postconf(5); reliability anchors 5 and 6); each bounds
something that a stranger can grow.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from faxgw.settings import ByteSize, Duration, Listener, Section, Tls

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SmtpListener(Section):
    """One port on which mail is taken."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")] = "submission"
    """Shown in logs and to the rules that decide who may send."""
    listen: Listener = Listener("127.0.0.1", 2525)
    """`address:port`; port 0 lets the system choose."""
    security: Literal["plain", "starttls", "tls"] = "plain"
    """`plain`: never encrypted; `starttls`: offered (RFC 3207); `tls`: encrypted from the first octet (RFC 8314)."""
    require_tls: bool = False
    """With `starttls`: no mail before the connection is encrypted."""
    allow: Annotated[tuple[Network, ...], Field(max_length=1000)] = ()
    """Networks that may connect; empty: every one."""
    plain_auth_on_loopback: bool = False
    """AUTH without encryption for clients on this machine."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.require_tls and self.security != "starttls":
            raise ValueError('require_tls goes with security = "starttls"')
        return self


class SmtpSettings(Section):
    """`[smtp]`: mail in."""

    hostname: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{0,253}$")] = ""
    """Name in the greeting; empty: the machine's name."""
    listeners: Annotated[tuple[SmtpListener, ...], Field(min_length=1, max_length=16)] = (SmtpListener(),)
    """Where mail is taken."""
    tls: Tls | None = None
    """Certificate and key of the listeners with `starttls` or `tls`."""

    processes: Annotated[int, Field(ge=0, le=16)] = 1
    """Processes of their own that talk with the clients, so that strangers never talk to the gateway's.

    More than one where thousands of mails come in a minute and there are processors for them; 0: the gateway's own."""

    message_limit: Annotated[ByteSize, Field(ge=1024)] = ByteSize(31_457_280)
    """Octets of one mail, 30 MiB (Postfix's 10,240,000 holds too few scanned pages); announced as SIZE."""
    header_limit: Annotated[ByteSize, Field(ge=1024)] = ByteSize(102_400)
    """Octets of a mail's header (Postfix header_size_limit)."""
    recipient_limit: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    """Recipients of one mail (Postfix smtpd_recipient_limit)."""
    hop_limit: Annotated[int, Field(ge=5)] = 50
    """`Received:` fields from which a mail is taken for a loop (Postfix hopcount_limit)."""
    accept_auto_generated: bool = False
    """Fax mails marked `Auto-Submitted: auto-generated` of senders who logged in or whose network is authorised.

    Automatic answers are never faxed."""

    connection_limit: Annotated[int, Field(ge=1)] = 1_000
    """Connections at a time."""
    client_connection_limit: Annotated[int, Field(ge=1)] = 50
    """Connections at a time of one address, IPv6 /64 (Postfix smtpd_client_connection_count_limit)."""
    error_limit: Annotated[int, Field(ge=1)] = 20
    """Errors of one session (Postfix smtpd_hard_error_limit). Refused numbers are none."""
    junk_limit: Annotated[int, Field(ge=1)] = 100
    """Commands of one session between two mails that do nothing (Postfix smtpd_junk_command_limit)."""

    command_deadline: Annotated[Duration, Field(gt=0)] = Duration(300)
    """Time for one whole command, TLS handshake or answer (Postfix smtpd_timeout, per request)."""
    data_rate: Annotated[int, Field(ge=1)] = 500
    """Octets per second below which the time of DATA runs out (Postfix smtpd_min_data_rate)."""
    data_deadline: Annotated[Duration, Field(gt=0)] = Duration(7_200)
    """Time for the content of one mail however steadily it comes: 30 MiB at 4.4 kB/s."""
    commit_deadline: Annotated[Duration, Field(gt=0)] = Duration(60)
    """Time until a mail whose commit does not end is answered 451."""
    stress_deadline: Annotated[Duration, Field(gt=0)] = Duration(10)
    """Replaces command_deadline while more than 80 % of the connections are in use (Postfix under stress)."""

    auth_delay: Annotated[Duration, Field(ge=0)] = Duration(1.5)
    """A failed login is answered this long after it came."""
    auth_failures: Annotated[int, Field(ge=1)] = 10
    """Failed logins of one address under one name within auth_window; five times as many under any name."""
    auth_window: Annotated[Duration, Field(gt=0)] = Duration(600)
    """How long failed logins count."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [listener.name for listener in self.listeners]
        if len(set(names)) != len(names):
            raise ValueError("two listeners have the same name")
        if self.tls is None and any(listener.security != "plain" for listener in self.listeners):
            raise ValueError("a listener with starttls or tls needs [smtp.tls]")
        return self
