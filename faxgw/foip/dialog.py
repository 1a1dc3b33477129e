"""Dialogs: tags, sequence numbers, route set, remote target (RFC 3261 section 12).

`DialogRecord` is a dialog as plain values. It is committed with the mark `answered`, so that a later process can
still say goodbye for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any  # a stored record comes back as untyped values; from_dict checks them

from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.headers import NameAddr
from faxgw.foip.message import Headers, Request, Response
from faxgw.foip.transaction import Address
from faxgw.foip.uri import SipUri, is_ip_literal, parse_uri

MAX_ROUTES = 20
"""Elements of a route set at most."""
MAX_ROUTE_TEXT = 8192
"""Characters of a route set at most: it goes into every request."""


@dataclass(frozen=True, slots=True)
class DialogRecord:
    """A confirmed dialog in values that survive a store."""

    call_id: str
    """Call-ID."""
    local: str
    """Our From or To value with our tag."""
    remote: str
    """The peer's From or To value with its tag."""
    local_seq: int
    """Our last CSeq number; 0 if we have sent none."""
    remote_seq: int
    """The peer's last CSeq number; -1 if it has sent none."""
    remote_target: str
    """The peer's Contact URI."""
    route_set: tuple[str, ...]
    """Route values in the order in which we send them."""
    host: str
    """Where the first request went to, or came from: IP literal."""
    port: int
    """Its port."""
    invite_seq: int = 0
    """CSeq number of the INVITE we sent; 0 when we were called."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DialogRecord:
        """The record of `to_dict`, also after JSON.

        Raises:
            LocalProtocolError: If it is none.
        """
        try:
            record = cls(**{**values, "route_set": tuple(values["route_set"])})
            for address in (record.local, record.remote, *record.route_set):
                NameAddr.parse(address)
            parse_uri(record.remote_target)
        except (TypeError, KeyError, RemoteProtocolError) as exc:
            raise LocalProtocolError(f"no dialog record: {exc}") from exc
        return record


class Dialog:
    """One confirmed dialog; builds its requests and judges the peer's."""

    def __init__(self, record: DialogRecord) -> None:
        self.call_id = record.call_id
        self.local = NameAddr.parse(record.local)
        self.remote = NameAddr.parse(record.remote)
        self.local_seq = record.local_seq
        self.remote_seq = record.remote_seq
        self.remote_target = record.remote_target
        self.route_set = tuple(NameAddr.parse(route) for route in record.route_set)
        self.invite_seq = record.invite_seq
        self._destination: Address = (record.host, record.port)

    @classmethod
    def of_caller(cls, invite: Request, response: Response, destination: Address) -> Dialog:
        """The dialog a 2xx makes at the UAC (section 12.1.2): Record-Route reversed.

        Raises:
            RemoteProtocolError: If the response has more routes than we carry.
        """
        contacts = response.contacts
        return cls(
            DialogRecord(
                call_id=invite.call_id,
                local=str(invite.from_),
                remote=str(response.to),
                local_seq=invite.cseq.number,
                remote_seq=-1,
                remote_target=str(contacts[0].uri) if contacts else invite.uri,
                route_set=_routes(reversed(response.record_routes)),
                host=destination[0],
                port=destination[1],
                invite_seq=invite.cseq.number,
            )
        )

    @classmethod
    def of_callee(cls, invite: Request, local_tag: str, source: Address) -> Dialog:
        """The dialog our 2xx makes at the UAS (section 12.1.1): Record-Route in order.

        Raises:
            RemoteProtocolError: If the request has more routes than we carry.
        """
        contacts = invite.contacts
        return cls(
            DialogRecord(
                call_id=invite.call_id,
                local=str(invite.to.tagged(local_tag)),
                remote=str(invite.from_),
                local_seq=0,
                remote_seq=invite.cseq.number,
                remote_target=str(contacts[0].uri) if contacts else str(invite.from_.uri),
                route_set=_routes(invite.record_routes),
                host=source[0],
                port=source[1],
            )
        )

    def record(self) -> DialogRecord:
        """The dialog as values."""
        return DialogRecord(
            call_id=self.call_id,
            local=str(self.local),
            remote=str(self.remote),
            local_seq=self.local_seq,
            remote_seq=self.remote_seq,
            remote_target=self.remote_target,
            route_set=tuple(str(route) for route in self.route_set),
            host=self._destination[0],
            port=self._destination[1],
            invite_seq=self.invite_seq,
        )

    def matches(self, request: Request) -> bool:
        """Whether a request belongs here: Call-ID and both tags (section 12.2.2)."""
        return (
            request.call_id == self.call_id
            and request.to.tag == self.local.tag
            and request.from_.tag == self.remote.tag
        )

    def accept(self, request: Request) -> None:
        """Count a request of the peer in (section 12.2.2).

        Raises:
            RemoteProtocolError: 500 if its CSeq is not above the last one.
        """
        if request.cseq.number <= self.remote_seq:
            raise RemoteProtocolError("CSeq out of order", 500)
        self.remote_seq = request.cseq.number

    def refresh_target(self, message: Request | Response) -> None:
        """Take over the Contact of a target refresh (re-INVITE or its 2xx; sections 12.2.1.2 and 12.2.2)."""
        if contacts := message.contacts:
            self.remote_target = str(contacts[0].uri)

    def build(self, method: str) -> Request:
        """A request in this dialog with the next CSeq number, without Via (section 12.2.1.1)."""
        self.local_seq += 1
        return self._request(method, self.local_seq)

    def build_ack(self, number: int) -> Request:
        """The ACK of a 2xx to the INVITE with this CSeq number, without Via (section 13.2.2.4)."""
        return self._request("ACK", number)

    @property
    def next_hop(self) -> Address:
        """Where requests go: first route or remote target if it is an IP literal, else where the dialog began.

        Names are not resolved in the middle of a call; maddr is not followed.
        """
        uri = self.route_set[0].uri if self.route_set else parse_uri(self.remote_target)
        if isinstance(uri, SipUri) and is_ip_literal(uri.host):
            return uri.host.strip("[]"), uri.effective_port
        return self._destination

    def _request(self, method: str, number: int) -> Request:
        uri, routes = preloaded(self.remote_target, self.route_set)
        headers = Headers([("Max-Forwards", "70")])
        for route in routes:
            headers.add("Route", route)
        headers.add("From", self.local)
        headers.add("To", self.remote)
        headers.add("Call-ID", self.call_id)
        headers.add("CSeq", f"{number} {method}")
        return Request(method, uri, headers)


def preloaded(target: str, route: Sequence[NameAddr | str]) -> tuple[str, list[str]]:
    """Request-URI and Route values of a request with a route set (sections 8.1.2 and 12.2.1.1).

    Args:
        target: The remote target.
        route: The route set; also an outbound proxy alone. A first element without `lr` is a strict router: it
            becomes the Request-URI, and the target goes to the end.

    Raises:
        RemoteProtocolError: If a value is no name-addr, or there are more than we carry (513).
    """
    values = [NameAddr.parse(value) if isinstance(value, str) else value for value in route]
    routes = list(_routes(values))
    if not values:
        return target, []
    first = values[0].uri
    if isinstance(first, SipUri) and first.param("lr") is not None:
        return target, routes
    return str(first), [*routes[1:], f"<{target}>"]


def _routes(values: Iterable[NameAddr]) -> tuple[str, ...]:
    routes = tuple(str(value) for value in values)
    if len(routes) > MAX_ROUTES or sum(map(len, routes)) > MAX_ROUTE_TEXT:
        raise RemoteProtocolError("too many routes", 513)
    return routes
