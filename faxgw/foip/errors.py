"""Whose fault it is when the protocol is broken: the peer's or ours.

Every function of `faxgw.foip` raises one of these two or nothing; any other exception coming out of the
package is a fault of faxgw. Neither text may hold secrets: both are logged.
"""


class ProtocolError(Exception):
    """A rule of a protocol was broken."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something the protocol does not allow.

    Attributes:
        status: The SIP status that answers it (RFC 3261 section 21); 400 where the protocol has no statuses.
    """

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class LocalProtocolError(ProtocolError):
    """We asked for something the protocol does not allow in the present state."""


class TooLarge(LocalProtocolError):
    """What we would have to send does not fit into one datagram."""
