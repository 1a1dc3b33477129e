"""The endpoints of the line, one for each transport that is spoken, and the certificates they use.

UDP is always spoken. TCP and TLS are where `[sip]` listens or a trunk asks for them; without a listener of ours only
the connections that we open carry them, and what the trunk asks of us comes by those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from faxgw.foip.agent import Screen
from faxgw.foip.events import IncomingCall
from faxgw.foip.stack import Transport
from faxgw.foip.transaction import Address
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.streams import StreamPolicy, TlsClient, client_context
from faxgw.line.trunk import SipSettings, Trunk
from faxgw.settings import Listener, Tls

MAX_SIP_CALLS: Final = 1000
"""Calls at once on one endpoint, both directions."""


class NotListening(OSError):
    """An endpoint cannot be started.

    Attributes:
        place: Transport and address, fit for whoever runs the gateway.
    """

    def __init__(self, place: str, exc: OSError) -> None:
        super().__init__(f"{place}: {exc}")
        self.place = place


class Endpoints:
    """The endpoints.

    Args:
        settings: `[sip]`.
        trunks: All trunks.
        on_incoming: Told of calls that somebody places, and of the endpoint they came to.
        screen: Who may call at all.
    """

    def __init__(
        self,
        settings: SipSettings,
        trunks: Sequence[Trunk],
        on_incoming: Callable[[SipEndpoint, IncomingCall], None],
        screen: Screen,
    ) -> None:
        self._settings = settings
        self._trunks = trunks
        self._on_incoming = on_incoming
        self._screen = screen
        self._clients: dict[str, TlsClient] = {}
        self._all: dict[str, SipEndpoint] = {"udp": self._make(settings.listen, Transport.UDP, None)}
        wanted = {trunk.settings.transport for trunk in trunks}
        listeners = {"tcp": settings.listen_tcp, "tls": settings.listen_tls}
        for name, listener in listeners.items():
            if listener is not None or name in wanted:
                policy = StreamPolicy(
                    listens=listener is not None,
                    is_secure=name == "tls",
                    is_known=self._is_known,
                    security=self._security,
                )
                place = listener or Listener(settings.listen.host, 0)
                self._all[name] = self._make(place, Transport(name.upper()), policy)

    async def start(self) -> None:
        """Bind them all.

        Raises:
            NotListening: If an address cannot be bound, or a certificate cannot be used.
        """
        try:
            self.renew(self._settings.tls)
        except OSError as exc:
            raise NotListening("SIP over TLS", exc) from exc
        for name, endpoint in self._all.items():
            try:
                await endpoint.start()
            except OSError as exc:
                raise NotListening(self._place(name), exc) from exc

    async def stop(self) -> None:
        """Close them all."""
        for endpoint in self._all.values():
            await endpoint.stop()

    def of(self, transport: str) -> SipEndpoint:
        """The endpoint that speaks `udp`, `tcp` or `tls`."""
        return self._all[transport]

    @property
    def ports(self) -> dict[str, int]:
        """Transports spoken, and the ports that stand in Via and Contact."""
        return {name: endpoint.port for name, endpoint in self._all.items()}

    def renew(self, tls: Tls | None) -> None:
        """Read certificates and keys anew, ours and those of the authorities, for connections from now on.

        Args:
            tls: Where ours lie now.

        Raises:
            OSError: If they cannot be used; the old ones stay.
        """
        clients = {
            trunk.name: TlsClient(
                client_context(trunk.settings.ca_file, trunk.settings.client_certificate), trunk.server_name
            )
            for trunk in self._trunks
            if trunk.settings.transport == "tls"
        }
        context = None if tls is None or self._settings.listen_tls is None else tls.server_context()
        self._clients = clients
        if context is not None:
            self._all["tls"].renew(context)

    def _make(self, listener: Listener, transport: Transport, policy: StreamPolicy | None) -> SipEndpoint:
        endpoint: SipEndpoint

        def incoming(event: IncomingCall) -> None:
            self._on_incoming(endpoint, event)

        endpoint = SipEndpoint(
            listener,
            self._settings.public_address,
            incoming,
            MAX_SIP_CALLS,
            self._screen,
            transport,
            policy,
            float(self._settings.session_timer),
        )
        return endpoint

    def _place(self, name: str) -> str:
        settings = self._settings
        listener = {"udp": settings.listen, "tcp": settings.listen_tcp, "tls": settings.listen_tls}[name]
        return f"SIP over {name.upper()} on {listener or settings.listen.host}"

    def _is_known(self, host: str) -> bool:
        return any(trunk.is_known_host(host) for trunk in self._trunks)

    def _security(self, destination: Address) -> TlsClient | None:
        """Whose certificate is expected: that of the trunk at this address; at another one only if there is one trunk.

        A dialog may go on at an address that DNS does not tell (a Contact); the certificate must be the trunk's there
        too.
        """
        secure = [trunk for trunk in self._trunks if trunk.name in self._clients]
        found = [trunk for trunk in secure if trunk.is_known_host(destination[0])]
        if not found and len(secure) == 1:
            found = secure
        return self._clients[found[0].name] if found else None
