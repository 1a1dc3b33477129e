"""Whole calls in virtual time: real SIP agents on loopback, real media calls, and a clock that jumps to what is next.

`run` plays a coroutine on such a clock: an hour of fax takes seconds. `lines` are two gateways of ours, `Machine` is a
far end that follows a script; all of them have real fax engines, held by `Workers` in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import socket
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from typing import Any, TypeVar

from faxgw.fax.outcome import Outcome
from faxgw.fax.ports import Admission, CallDocument, CallProgress, Ringing
from faxgw.fax.reception import ReceivedPage
from faxgw.foip import control
from faxgw.foip.events import (
    Acknowledged,
    Answered,
    CallId,
    Ended,
    Event,
    IncomingCall,
    Rejected,
    ReofferAnswered,
    Reoffered,
    ReofferRefused,
)
from faxgw.foip.sdp import (
    Origin,
    SessionDescription,
    T38Parameters,
    answer,
    answer_audio,
    answer_t38,
    audio_line,
    offer,
    t38_line,
)
from faxgw.foip.t30_frames import name
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.ports import PortRange, bind_media
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.line.workers import Inbox, Received
from faxgw.settings import Duration, Listener
from faxgw.simulator.receiving import ReceivingMachine
from faxgw.simulator.script import Script
from faxgw.t30.call import MediaCall
from tests.line.far_end import Marks, plan
from tests.t30.conftest import answer as acknowledgement
from tests.t30.conftest import memory_file, pixels, receive_start, send_start

T = TypeVar("T")
TICK = 0.02
PORTS = PortRange(24000, 24999)
STUCK_AFTER = 20.0
"""Real seconds without anything to do after which the loop says that nothing will ever happen."""


class _Clock(selectors.DefaultSelector):
    """Jumps to the next timer when no socket has anything."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:  # as the base class
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            ready = super().select(STUCK_AFTER)
            if not ready:
                raise RuntimeError("nothing will ever happen")
            return ready
        self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing else can be done."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:  # as the base class, without a thread
        return socket.getaddrinfo(host, port, **options)


def run(scene: Coroutine[Any, Any, T]) -> T:
    """Play a scene in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scene)


def now() -> float:
    return asyncio.get_running_loop().time()


# ---------------------------------------------------------------------------------------------------------- media

Lose = Callable[[bytes], bool]


class Tap:
    """A UDP socket whose sent packets can be lost, and are counted."""

    def __init__(self, sock: socket.socket, lose: Lose) -> None:
        self._sock = sock
        self._lose = lose
        self._sock.setblocking(False)

    def recvfrom(self, size: int, /) -> tuple[bytes, tuple[str, int]]:
        octets, address = self._sock.recvfrom(size)
        return octets, (address[0], address[1])

    def sendto(self, octets: bytes, address: tuple[str, int], /) -> int:
        return len(octets) if self._lose(octets) else self._sock.sendto(octets, address)

    def close(self) -> None:
        self._sock.close()


class Workers:
    """Stands for `CallWorkers`: the media calls live here, ticked in virtual time."""

    def __init__(self) -> None:
        self.lose: Lose = lambda _octets: False
        """Eats packets that our calls send."""
        self.heard: list[tuple[float, control.Message]] = []
        """What the engines said, and when."""
        self.pids: list[int] = []
        self.places: list[Place] = []
        self._numbers = count(1)
        self._ticker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._ticker = asyncio.create_task(self._tick_for_ever())

    async def stop(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        for place in self.places:
            place.close()

    async def reserve(self, inbox: Inbox, *, isolated: bool = False, group: str = "") -> Place:
        return Place(self, next(self._numbers), inbox)

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for place in self.places:
                place.tick()

    def frames(self) -> list[str]:
        """The ladder: `>DIS`, `<DCS` … of all calls."""
        return [
            way + name(frame)
            for _at, message in self.heard
            if isinstance(message, control.Trace)
            for _after, way, frame in message.frames
        ]

    def when(self, wanted: str) -> float:
        """When a frame was last sent or received, such as `>DCN`."""
        began = {place.number: place.began for place in self.places}
        times = [
            began[message.call] + after
            for _at, message in self.heard
            if isinstance(message, control.Trace)
            for after, way, frame in message.frames
            if way + name(frame) == wanted
        ]
        return max(times)


class Place:
    """One call's place."""

    def __init__(self, workers: Workers, number: int, inbox: Inbox) -> None:
        self.number = number
        self.inbox = inbox
        self.alive = True
        self.call: MediaCall | None = None
        self.began = 0.0
        self._workers = workers
        self._released = False
        workers.places.append(self)

    def send(self, message: control.Message, descriptors: Sequence[int] = ()) -> None:
        if isinstance(message, control.Start):
            taps = [Tap(socket.socket(fileno=os.dup(d)), self._loses) for d in descriptors[:2]]
            self.began = now()
            self.call = MediaCall(message, taps[0], taps[1], descriptors[2:], self.began)
        elif self.call is not None:
            self.call.receive(message, now())
            self._flush()

    def tick(self) -> None:
        if self.call is not None:
            self.call.tick(now())
            self._flush()

    def _flush(self) -> None:
        call = self.call
        if call is None:
            return
        for outgoing in call.take():
            self._workers.heard.append((now(), outgoing.message))
            descriptors = () if outgoing.descriptor is None else (outgoing.descriptor,)
            if self._released:
                for descriptor in descriptors:
                    os.close(descriptor)
            else:
                self.inbox.put_nowait(Received(outgoing.message, descriptors))
        if call.ended:
            self.close()

    def release(self) -> None:
        self._released = True

    def close(self) -> None:
        if self.call is not None:
            self.call.close()
            self.call = None

    def _loses(self, octets: bytes) -> bool:
        return self._workers.lose(octets)


# -------------------------------------------------------------------------------------------------------- gateways


class ScriptedPlace(Place):
    """A place whose engine is a machine of the simulator: it says what its script has, over T.38 only."""

    def __init__(self, workers: Workers, number: int, inbox: Inbox, machine: ReceivingMachine) -> None:
        super().__init__(workers, number, inbox)
        self.machine = machine
        self._tap: Tap | None = None
        self._remote: tuple[str, int] | None = None

    def send(self, message: control.Message, descriptors: Sequence[int] = ()) -> None:
        if isinstance(message, control.Start):
            self._tap = Tap(socket.socket(fileno=os.dup(descriptors[1])), self._loses)
            self._remote = message.t38.remote if message.t38 is not None else None
        elif isinstance(message, control.SwitchT38):
            self._remote = message.t38.remote
        elif isinstance(message, control.Hangup):
            self.close()

    def tick(self) -> None:
        if self._tap is None or self._remote is None:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                self.machine.receive(self._tap.recvfrom(2048)[0], now())
        for octets in self.machine.tick(now()):
            self._tap.sendto(octets, self._remote)
        if self.machine.hung_up:
            self.close()
            self.inbox.put_nowait(HungUp())

    def close(self) -> None:
        if self._tap is not None:
            self._tap.close()
            self._tap = None


class HungUp:
    """The scripted engine wants its BYE."""


class Inside:
    """Admits every call and keeps its pages."""

    def __init__(self) -> None:
        self.pages: list[tuple[ReceivedPage, bytes]] = []
        self.outcome: Outcome | None = None
        self.acknowledged = 0
        self.farewell = False
        self.over = asyncio.Event()
        self.ecm = True

    async def admit(self, ringing: Ringing) -> Admission | int:
        return Admission("rcv_1", "+49 40 2", self.ecm, 14400)

    async def answered(self, reception: str) -> bool:
        return True

    async def page(self, reception: str, page: ReceivedPage, descriptor: int) -> bool:
        self.pages.append((page, os.pread(descriptor, os.fstat(descriptor).st_size, 0)))
        return True

    def progress(self, reception: str, what: CallProgress) -> None:
        pass

    async def ended(self, reception: str, outcome: Outcome, *, acknowledged: int, farewell: bool) -> None:
        self.outcome, self.acknowledged, self.farewell = outcome, acknowledged, farewell
        self.over.set()

    @property
    def images(self) -> list[tuple[tuple[int, int], bytes]]:
        return [page for _facts, octets in self.pages for page in pixels(octets)]


class Gateway:
    """A line of ours with its workers."""

    def __init__(self, peer_port: int = 9, **trunk: object) -> None:
        values: dict[str, object] = {"name": "t", "host": "127.0.0.1", "port": peer_port, "ring_time": Duration(60)}
        self.inside = Inside()
        self.workers = Workers()
        settings = SipSettings(listen=Listener("127.0.0.1", 0), media_ports=PORTS)
        self.line = SipLine(settings, [TrunkSettings(**{**values, **trunk})])  # type: ignore[arg-type]
        self.line._workers = self.workers  # type: ignore[assignment]

    async def __aenter__(self) -> Gateway:
        await self.line.start()
        self.line.take_calls(self.inside)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.line.stop()

    async def fax(self, document: bytes, marks: Marks | None = None, **options: object) -> Outcome:
        """Send a document."""
        descriptor, pages = memory_file(document), len(pixels(document))
        documents = (CallDocument("FN1", descriptor, pages, 1, pages),)
        made = plan(self.line.new_identity("t"), documents=documents, **options)  # type: ignore[arg-type]
        try:
            return await self.line.call(made, marks or Marks())
        finally:
            os.close(descriptor)


class Machine:
    """A far end that follows a script; called, or calling after `dial`.

    Its engine is a real one that acknowledges by itself. What it does with an offer is `takes`, by default whatever is
    offered, T.38 before audio; a number refuses with that status.
    """

    def __init__(self, document: bytes = b"", script: Script | None = None) -> None:
        self.scripted = ReceivingMachine(script) if script is not None else None
        """Its engine, when it is not a real one."""
        self.endpoint = SipEndpoint(Listener("127.0.0.1", 0), "", self._on_call)
        self.workers = Workers()
        self.document = document
        self.start = send_start() if document else receive_start()
        self.log: list[str] = []
        self.times: list[tuple[float, str]] = []
        self.offers: list[SessionDescription] = []
        """What was offered to it."""
        self.answers: list[SessionDescription] = []
        """What its own offers were answered with."""
        self.pages: list[bytes] = []
        self.ended: Ended | None = None
        self.over = asyncio.Event()
        self.takes: Callable[[SessionDescription], str | int] = lambda sdp: "t38" if sdp.t38 else "audio"
        self.on: dict[str, Callable[[], object]] = {}
        """What to do after an event of that name has been handled, or the engine said something of that name."""
        self.call = CallId("")
        self.place: Place | None = None
        self.hesitates = 0.0
        """Seconds until it answers a re-INVITE."""
        self.switches = True
        """Its engine follows where T.38 was agreed."""
        self._origin = Origin(5, 1, "127.0.0.1")
        self._tasks: list[asyncio.Task[None]] = []
        self._inbox: asyncio.Queue[object] = asyncio.Queue()
        self._sockets = bind_media("127.0.0.1", PORTS)
        self._first: SessionDescription | None = None
        self.t38 = False

    async def __aenter__(self) -> Machine:
        await self.endpoint.start()
        await self.workers.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.workers.stop()
        await self.endpoint.stop()
        self._sockets.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    @property
    def port(self) -> int:
        return self.endpoint.port

    # What a script may do

    def dial(self, gateway: Gateway, sdp: SessionDescription | None = None) -> None:
        agent = self.endpoint.agent
        self._first = sdp or self.audio()
        self.call = agent.invite(
            agent.new_identity(), "sip:+4989@127.0.0.1", ("127.0.0.1", gateway.line.port), self._first,
            from_="<sip:+4930@127.0.0.1>", now=now(),
        )  # fmt: skip
        self._listen()

    def audio(self, *more: Any) -> SessionDescription:
        self._origin = self._origin.next()
        return offer(self._origin, audio_line(self._sockets.rtp_port), *more)

    def fax(self, port: int | None = None) -> SessionDescription:
        self._origin = self._origin.next()
        return offer(self._origin, t38_line(self._sockets.udptl_port if port is None else port))

    def reinvite(self, sdp: SessionDescription) -> None:
        self.log.append("reinvite")
        self.endpoint.agent.reinvite(self.call, sdp, now())
        self.endpoint.pump()

    def reinvite_when_free(self, sdp: SessionDescription) -> None:
        """Once our last answer, or refusal, has had its ACK."""
        if self.endpoint.agent.may_reinvite(self.call):
            self.reinvite(sdp)
        else:
            self.later(0.02, lambda: self.reinvite_when_free(sdp))

    def bye(self) -> None:
        if self.ended is None:
            self.endpoint.agent.bye(self.call, now())
            self.endpoint.pump()

    def later(self, seconds: float, what: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(seconds, what)

    def stop_engine(self) -> None:
        """From here on the machine is dumb: it sends nothing any more."""
        self.workers.lose = lambda _octets: True

    @property
    def images(self) -> list[tuple[tuple[int, int], bytes]]:
        return [page for octets in self.pages for page in pixels(octets)]

    # SIP

    def _on_call(self, event: IncomingCall) -> None:
        self.call = event.call
        self._listen()
        self._first = event.offer
        if event.offer is None:
            self.endpoint.agent.answer(event.call, self.audio(), now())
            return
        self.offers.append(event.offer)
        made = self._answer(event.offer)
        if isinstance(made, int):
            self.endpoint.agent.reject(event.call, made, now())
        else:
            self.endpoint.agent.answer(event.call, made, now())

    def _listen(self) -> None:
        self.endpoint.listen(self.call, self._inbox)
        self.endpoint.pump()
        self._tasks.append(asyncio.create_task(self._serve()))

    def _answer(self, sdp: SessionDescription) -> SessionDescription | int:
        self._origin = self._origin.next()
        decided = self.takes(sdp)
        made: SessionDescription | None = None
        if decided == "t38":
            made = answer_t38(sdp, self._origin, self._sockets.udptl_port)
        elif decided == "audio":
            made = answer_audio(sdp, self._origin, self._sockets.rtp_port)
        elif decided == "nothing":
            made = answer(sdp, self._origin, {})
        return made if made is not None else decided if isinstance(decided, int) else 488

    async def _serve(self) -> None:
        while True:
            item = await self._inbox.get()
            if isinstance(item, Received):
                self._on_engine(item)
                kind = type(item.message).__name__
            elif isinstance(item, HungUp):
                kind = "HungUp"
                self.bye()
            else:
                assert isinstance(item, Event)
                kind = type(item).__name__
                self.log.append(f"refused {item.status}" if isinstance(item, ReofferRefused) else kind)
                await self._on_event(item)
                self.endpoint.pump()
            self.times.append((now(), kind))
            if kind in self.on:
                self.on[kind]()
            if isinstance(item, Ended | Rejected):
                self.ended = item if isinstance(item, Ended) else None
                self.over.set()

    async def _on_event(self, event: Event) -> None:
        agent = self.endpoint.agent
        match event:
            case Acknowledged():
                if self._first is not None:
                    await self._begin(self._first, self.takes(self._first) == "t38")
            case Answered():
                agent.acknowledge(event.call, now())
                if event.sdp is not None:
                    self.answers.append(event.sdp)
                    await self._begin(event.sdp, event.sdp.t38 is not None)
            case Reoffered():
                self.offers.append(event.offer)
                if self.hesitates:
                    self.later(self.hesitates, lambda: self._on_reoffered(event))
                else:
                    self._on_reoffered(event)
            case ReofferAnswered():
                self.answers.append(event.sdp)
                if event.sdp.t38 is not None:
                    self._switch(event.sdp)
            case Ended():
                if self.place is not None:
                    self.place.send(control.Hangup(self.place.number))
            case _:
                pass

    def _on_reoffered(self, event: Reoffered) -> None:
        made = self._answer(event.offer)
        if isinstance(made, int):
            self.endpoint.agent.refuse_reinvite(event.call, made, now())
        else:
            self.endpoint.agent.answer_reinvite(event.call, made, now())
            if made.t38 is not None:
                self._switch(event.offer)
        self.endpoint.pump()

    def when(self, kind: str) -> float:
        """When that event came, or the engine said so, for the first time."""
        return next(at for at, seen in self.times if seen == kind)

    def move(self) -> None:
        """The machine's T.38 goes on from another port."""
        old = self._sockets
        self._sockets = bind_media("127.0.0.1", PORTS)
        if self.place is not None and self.place.call is not None:
            self.place.call._medium._udptl.close()
            self.place.call._medium._udptl = Tap(self._sockets.udptl.dup(), self.place._loses)
        old.close()

    # The engine

    async def _begin(self, sdp: SessionDescription, t38: bool) -> None:
        if self.scripted is not None:
            self.place = ScriptedPlace(self.workers, 1, self._inbox, self.scripted)
        else:
            self.place = await self.workers.reserve(self._inbox)
        files = [memory_file(self.document)] if self.document else []
        pages = len(pixels(self.document)) if self.document else 0
        documents = (control.Document("FN9", pages, 1, pages),) if pages else ()
        audio = sdp.audio
        values = {field: getattr(self.start, field) for field in self.start.__dataclass_fields__}
        values |= {
            "call": self.place.number,
            "rtp_remote": sdp.address_of(audio) if audio is not None else None,
            "payload_type": (audio.payload_type() if audio is not None else None) or 0,
            "t38": _media(sdp) if t38 else None,
            "documents": documents,
        }
        self.t38 = t38
        try:
            self.place.send(control.Start(**values), [self._sockets.rtp.fileno(), self._sockets.udptl.fileno(), *files])
        finally:
            for file in files:
                os.close(file)

    def _switch(self, sdp: SessionDescription) -> None:
        self.t38 = True
        if self.place is not None and self.switches:
            self.place.send(control.SwitchT38(self.place.number, _media(sdp)))

    def _on_engine(self, received: Received) -> None:
        message = received.message
        for descriptor in received.descriptors:
            self.pages.append(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
            os.close(descriptor)
        ack = acknowledgement(message)
        if ack is not None and self.place is not None:
            self.place.send(ack)


def _media(sdp: SessionDescription) -> control.T38Media:
    assert sdp.t38 is not None
    parameters = T38Parameters.parse(sdp.t38)
    return control.T38Media(
        sdp.address_of(sdp.t38), parameters.max_datagram, parameters.error_correction.value, parameters.max_bit_rate
    )
