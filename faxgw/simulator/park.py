"""The park of fax machines: one SIP listener on UDP, as many calls as come, one ticker (docs/simulator.md).

`Park.start` binds and serves on the running loop, `Park.place` sends a fax, `Park.stop` says goodbye to all calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from faxgw.foip.agent import UserAgent
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.events import CallId, Event, IncomingCall
from faxgw.foip.stack import AgentConfig
from faxgw.foip.transaction import Address
from faxgw.simulator.album import Album, CallRecord
from faxgw.simulator.behaviour import BEHAVIOURS, Behaviour, behaviour_of
from faxgw.simulator.leg import IncomingLeg, Leg, OutgoingLeg, utc
from faxgw.simulator.odd_leg import OddLeg
from faxgw.simulator.ports import MediaPorts, MediaSockets, NoPorts
from faxgw.simulator.twist import Twister, call_id_of, number_of
from faxgw.t30 import tiff

log = logging.getLogger(__name__)

TICK: Final = 0.02
"""Seconds."""
MAX_LATENESS: Final = 2.0
"""Seconds of missed ticks that are made up."""
GOODBYE: Final = 3.0
"""Seconds the calls get to end when the park stops."""
MAX_NUMBERS: Final = 10_000
"""Numbers whose calls are counted; beyond it the count starts anew."""

SEED: Final = 10_000
"""Seeds of bad networks: this for each call a number has had, and the machine's number."""
MAX_TWISTED: Final = 1_000
"""Calls whose messages are twisted, kept at most: the newest, for what comes after their end."""


@dataclass(frozen=True, slots=True)
class ParkConfig:
    """Settings of a park."""

    received: Path
    """Folder for what is received."""
    host: str = "127.0.0.1"
    """IP literal to bind and to put into SIP and SDP."""
    port: int = 0
    """SIP port on UDP; 0: the system chooses."""
    media_ports: tuple[int, int] | None = None
    """First and last media port; None: the system chooses."""
    pace: float = 1.0
    """Factor for the machines' own waiting: ringing, speaking, silence before a BYE."""


class Park:
    """A park of fax machines."""

    def __init__(self, config: ParkConfig) -> None:
        self._config = config
        self._album = Album(config.received)
        self._ports = MediaPorts(config.host, config.media_ports)
        self._legs: dict[CallId, Leg] = {}
        self._waiting: dict[CallId, asyncio.Future[CallRecord]] = {}
        self._calls_to: Counter[str] = Counter()
        self._twisters: dict[str, Twister] = {}
        """By Call-ID."""
        self._serial = 0
        self._records: deque[CallRecord] = deque(maxlen=1000)
        self._storing: set[asyncio.Task[None]] = set()
        self._album_free = asyncio.Lock()
        self._idle = asyncio.Event()
        self._stopping = False
        self._agent: UserAgent
        self._loop: asyncio.AbstractEventLoop
        self._transport: asyncio.DatagramTransport
        self._ticker: asyncio.Task[None]

    @property
    def address(self) -> Address:
        """Where the park answers."""
        host, port = self._transport.get_extra_info("sockname")[:2]
        return host, port

    @property
    def legs(self) -> list[Leg]:
        """Calls in progress."""
        return list(self._legs.values())

    @property
    def is_idle(self) -> bool:
        """Whether no call is in progress or about to be stored."""
        return not self._legs and not self._storing

    @property
    def records(self) -> list[CallRecord]:
        """Calls that are over and stored, oldest first."""
        return list(self._records)

    async def start(self) -> Address:
        """Bind and serve.

        Raises:
            OSError: If the port is taken.
        """
        self._loop = asyncio.get_running_loop()
        self._transport, _protocol = await self._loop.create_datagram_endpoint(
            lambda: _Sip(self), local_addr=(self._config.host, self._config.port)
        )
        host, port = self.address
        self._agent = UserAgent(AgentConfig(host, port, user="simulator", product="faxgw-simulator"))
        self._ticker = asyncio.create_task(self._tick_for_ever(), name="simulator ticker")
        return host, port

    async def stop(self) -> None:
        """Hang up everywhere and close."""
        self._stopping = True
        self._idle.clear()
        for leg in list(self._legs.values()):
            leg.hang_up(self._loop.time())
        self._pump()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await self._idle.wait()
        self._ticker.cancel()
        await asyncio.gather(self._ticker, return_exceptions=True)
        for leg in self._legs.values():
            leg.close()
        for future in self._waiting.values():
            future.cancel()
        self._transport.close()

    async def place(
        self,
        uri: str,
        destination: Address,
        document: bytes,
        *,
        caller: str = "+493055500",
        behaviour: Behaviour = BEHAVIOURS["01"],
        give_up: float = 0.0,
    ) -> CallRecord:
        """Send a fax and wait for the end of the call.

        Args:
            uri: SIP URI to call.
            destination: Where to send the INVITE.
            document: A TIFF of fax pages (G3 or G4, 1728 wide).
            caller: Our number: user of From, and TSI.
            behaviour: How the sending machine behaves: T.38 offered by us (`offers`), by the other side (`waits`)
                or refused, modems, coding, and how it goes wrong (after page 1, mid-page).
            give_up: Seconds after which the call is ended if no fax machine has answered; 0: never.

        Raises:
            tiff.PageFault: If the document is no TIFF.
            LocalProtocolError: If the URI is none.
            NoPorts: If no media ports are left.
        """
        file = os.memfd_create("document", os.MFD_CLOEXEC)
        try:
            if os.write(file, document) != len(document):
                raise OSError("no memory for the document")
            pages = tiff.count_pages(file)
            sockets = self._ports.bind()
        except BaseException:
            os.close(file)
            raise
        identity = self._agent.new_identity()
        number = uri.split(":", 1)[-1].split("@", 1)[0]
        record = self._new_record("out", number, caller, behaviour.name)
        record.pages_sent = pages
        call = CallId(f"{identity.call_id}/{identity.from_tag}")
        host = self._config.host
        leg = OutgoingLeg(self._agent, call, record, self._album, host, sockets, behaviour, file, pages, caller[-20:])
        try:
            named = self._agent.invite(
                identity, uri, destination, leg.offer(), from_=f"<sip:{caller}@{host}>", now=self._loop.time()
            )
        except LocalProtocolError:
            leg.close()
            raise
        leg.call = named
        self._legs[named] = leg
        future: asyncio.Future[CallRecord] = self._loop.create_future()
        self._waiting[named] = future
        if give_up:
            leg.give_up_after(give_up, self._loop.time())
        self._pump()
        return await future

    # Datagrams, events, ticks.

    def receive(self, datagram: bytes, source: Address) -> None:
        """Take a SIP datagram."""
        for call, leg in self._legs.items():
            if leg.muted and call.rpartition("/")[0].encode() in datagram:
                return
        now = self._loop.time()
        twister = self._twister_of(datagram)
        for octets in [datagram] if twister is None else twister.incoming(datagram, source, now):
            self._agent.receive_datagram(octets, source, now)
        self._pump()

    def _twister_of(self, datagram: bytes) -> Twister | None:
        """What twists the messages of the call that a datagram belongs to, or begins."""
        number = number_of(datagram) if datagram.startswith(b"INVITE ") else ""
        manner = behaviour_of(number, self._calls_to[number]).manner if number else None
        if not self._twisters and (manner is None or manner.twist is None):
            return None
        call_id = call_id_of(datagram)
        if manner is not None and manner.twist is not None and call_id not in self._twisters:
            if len(self._twisters) >= MAX_TWISTED:
                del self._twisters[next(iter(self._twisters))]
            self._twisters[call_id] = Twister(manner.twist)
        return self._twisters.get(call_id)

    def _pump(self) -> None:
        """Bring the agent's events to the calls, and its datagrams out."""
        now = self._loop.time()
        while (event := self._agent.next_event()) is not None:
            self._on_event(event, now)
        for octets, destination in self._agent.datagrams_to_send():
            twister = self._twisters.get(call_id_of(octets)) if self._twisters else None
            for copy in [octets] if twister is None else twister.outgoing(octets):
                self._transport.sendto(copy, destination)
        for call in [call for call, leg in self._legs.items() if leg.done]:
            self._store(self._legs.pop(call))
        if self.is_idle:
            self._idle.set()

    def _on_event(self, event: Event, now: float) -> None:
        if isinstance(event, IncomingCall):
            self._admit(event, now)
            return
        leg = self._legs.get(event.call)
        if leg is not None:
            leg.on_event(event, now)

    def _admit(self, event: IncomingCall, now: float) -> None:
        if self._stopping:
            self._agent.reject(event.call, 503, now)
            return
        try:
            sockets = self._ports.bind()
        except (NoPorts, OSError):
            self._agent.reject(event.call, 503, now)
            return
        if len(self._calls_to) >= MAX_NUMBERS:
            self._calls_to.clear()
        behaviour = behaviour_of(event.target, self._calls_to[event.target])
        self._calls_to[event.target] += 1
        record = self._new_record("in", event.target, event.caller, behaviour.name)
        leg = self._leg(event.call, record, sockets, behaviour)
        self._legs[event.call] = leg
        leg.begin(event.offer, now)

    def _leg(self, call: CallId, record: CallRecord, sockets: MediaSockets, behaviour: Behaviour) -> IncomingLeg:
        agent, album, host, pace = self._agent, self._album, self._config.host, self._config.pace
        if behaviour.manner is None:
            return IncomingLeg(agent, call, record, album, host, sockets, behaviour, pace)
        twister = self._twisters.get(call.rpartition("/")[0])
        seed = SEED * self._calls_to[record.number] + int(behaviour.suffix)
        return OddLeg(agent, call, record, album, host, sockets, behaviour, pace, behaviour.manner, twister, seed)

    def _new_record(self, direction: str, number: str, caller: str, behaviour: str) -> CallRecord:
        self._serial += 1
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{self._serial:05}-{secrets.token_hex(2)}"
        return CallRecord(name, direction, number, caller, behaviour, utc())

    async def _tick_for_ever(self) -> None:
        due = self._loop.time()
        while True:
            due += TICK
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            now = self._loop.time()
            if now - due > MAX_LATENESS:
                log.warning("ticks too late", extra={"seconds": round(now - due, 3)})
                due = now
            for leg in list(self._legs.values()):
                try:
                    leg.tick(now)
                except Exception:
                    log.exception("call failed", extra={"call": leg.record.id})
                    leg.hang_up(now)
            for twister in self._twisters.values():
                for octets, source in twister.due(now):
                    self._agent.receive_datagram(octets, source, now)
            timer = self._agent.get_timer()
            if timer is not None and timer <= now:
                self._agent.handle_timer(now)
            self._pump()

    # Records.

    def _store(self, leg: Leg) -> None:
        leg.close()
        task = asyncio.create_task(self._finish(leg.call, leg.record), name=f"store {leg.record.id}")
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def _finish(self, call: CallId, record: CallRecord) -> None:
        try:
            async with self._album_free:
                await asyncio.to_thread(self._album.finish, record)
        except OSError:
            log.exception("call not stored", extra={"call": record.id})
        self._records.append(record)
        log.info("call over", extra={"call": record.id, "behaviour": record.behaviour, "status": record.status})
        future = self._waiting.pop(call, None)
        if future is not None and not future.done():
            future.set_result(record)


class _Sip(asyncio.DatagramProtocol):
    """The listener's socket."""

    def __init__(self, park: Park) -> None:
        self._park = park

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._park.receive(data, (addr[0], addr[1]))
