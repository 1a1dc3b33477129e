"""The called side of the tests: a SIP endpoint whose user part says how it behaves, and marks that remember."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence

from faxgw.fax.ports import CallDocument, CallIdentity, CallPlan, CallProgress
from faxgw.foip.events import (
    Acknowledged,
    CallId,
    Ended,
    Event,
    IncomingCall,
    ReofferAnswered,
    Reoffered,
    ReofferRefused,
)
from faxgw.foip.sdp import Origin, SessionDescription, answer, answer_audio, answer_t38, audio_line, offer, t38_line
from faxgw.foip.stack import Transport
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.streams import StreamPolicy
from faxgw.settings import Listener

RTP_PORT, UDPTL_PORT = 19000, 19002


class FarEnd:
    """Answers calls. `behave` is looked up by the number's last part after `+`."""

    def __init__(self, transport: Transport = Transport.UDP, streams: StreamPolicy | None = None) -> None:
        self.endpoint = SipEndpoint(Listener("127.0.0.1", 0), "", self._on_call, transport=transport, streams=streams)
        self.log: list[str] = []
        self.offers: list[SessionDescription] = []
        self.ended: list[Ended] = []
        self._origin = Origin(5, 1, "127.0.0.1")
        self._tasks: list[asyncio.Task[None]] = []
        self.after_ack: Callable[[CallId], None] = lambda call: None
        """Done when the ACK has come."""
        self.refuse_t38 = False
        self.after_refusal: Callable[[CallId], None] = lambda call: None
        """Done when T.38 has been refused."""
        self.refuse_audio = False
        """Once in T.38, audio is refused."""
        self.empty_t38 = False
        """T.38 is accepted, with its line at port 0."""
        self.audio_codec: tuple[int, ...] = (8, 0)
        self.early_bye = False
        self.may_answer = asyncio.Event()
        """Number 300 rings until this is set."""

    async def __aenter__(self) -> FarEnd:
        await self.endpoint.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.endpoint.stop()

    @property
    def port(self) -> int:
        return self.endpoint.port

    def _on_call(self, event: IncomingCall) -> None:
        self._tasks.append(asyncio.create_task(self._serve(event), name=event.target))

    async def _serve(self, event: IncomingCall) -> None:
        inbox: asyncio.Queue[object] = asyncio.Queue()
        self.endpoint.listen(event.call, inbox)
        agent, now = self.endpoint.agent, self.endpoint.now
        number = event.target.lstrip("+")
        self.log.append(f"call {event.target} from {event.caller}")
        if number == "486":
            agent.reject(event.call, 486, now, (("Reason", "Q.850;cause=17"),))
        elif number == "404":
            agent.reject(event.call, 404, now)
        elif number == "503":
            agent.reject(event.call, 503, now, (("Retry-After", "120 (overload)"),))
        elif number == "180":
            agent.ring(event.call, now)
        else:
            if number == "300":
                agent.ring(event.call, now)
                self.endpoint.pump()
                await self.may_answer.wait()
            assert event.offer is not None
            self.offers.append(event.offer)
            made = answer_audio(event.offer, self._origin, RTP_PORT, self.audio_codec)
            agent.answer(event.call, made or offer(self._origin, t38_line(UDPTL_PORT)), now)
            if self.early_bye:  # against RFC 3261 section 15: the agent itself would wait for the ACK
                agent.bye_stranger(agent.dialog_of(event.call), now)
        self.endpoint.pump()
        while True:
            item = await inbox.get()
            assert isinstance(item, Event)
            self._on_event(item)
            self.endpoint.pump()
            if isinstance(item, Ended):
                self.ended.append(item)
                return

    def _on_event(self, event: Event) -> None:
        agent, now = self.endpoint.agent, self.endpoint.now
        self.log.append(type(event).__name__)
        match event:
            case Acknowledged():
                self.after_ack(event.call)
            case Reoffered():
                self.offers.append(event.offer)
                self._origin = self._origin.next()
                if event.offer.t38 is None and self.refuse_audio:
                    made = None
                elif event.offer.t38 is None:
                    made = answer_audio(event.offer, self._origin, RTP_PORT)
                elif self.empty_t38:
                    made = answer(event.offer, self._origin, {})
                else:
                    made = None if self.refuse_t38 else answer_t38(event.offer, self._origin, UDPTL_PORT)
                if made is None:
                    agent.refuse_reinvite(event.call, 488, now)
                    self.after_refusal(event.call)
                else:
                    agent.answer_reinvite(event.call, made, now)
            case ReofferAnswered():
                self.offers.append(event.sdp)
            case ReofferRefused():
                self.log.append(f"refused {event.status}")
            case _:
                pass

    def propose_t38(self, call: CallId) -> None:
        self._origin = self._origin.next()
        self.endpoint.agent.reinvite(call, offer(self._origin, t38_line(UDPTL_PORT)), self.endpoint.now)
        self.endpoint.pump()

    def propose_audio_when_free(self, call: CallId) -> None:
        """Once the re-INVITE that was just refused has had its ACK."""
        if self.endpoint.agent.may_reinvite(call):
            self.propose_audio(call)
        else:
            asyncio.get_running_loop().call_later(0.02, self.propose_audio_when_free, call)

    def propose_audio(self, call: CallId) -> None:
        self._origin = self._origin.next()
        self.endpoint.agent.reinvite(call, offer(self._origin, audio_line(RTP_PORT + 8, (8,))), self.endpoint.now)
        self.endpoint.pump()

    def hang_up(self, call: CallId) -> None:
        self.endpoint.agent.bye(call, self.endpoint.now)
        self.endpoint.pump()


class Marks:
    """Remembers the promises in their order; `refuse` names one that cannot be committed."""

    def __init__(self, refuse: str = "", broken: str = "") -> None:
        self.log: list[str] = []
        self.phases: list[str] = []
        self.dialog: Mapping[str, object] = {}
        self.changed = asyncio.Event()
        self.renewed: Sequence[CallDocument] = ()
        self._refuse = refuse
        self._broken = broken

    async def answered(self, dialog: Mapping[str, object]) -> bool:
        self.dialog = dialog
        return await self._mark("answered", "answered")

    async def exposed(self, fax: str, page: int) -> bool:
        return await self._mark("exposed", f"exposed {fax} {page}")

    async def confirmed(self, fax: str, page: int) -> bool:
        return await self._mark("confirmed", f"confirmed {fax} {page}")

    async def coarser(self, taken: tuple[str, ...]) -> Sequence[CallDocument]:
        self.log.append(f"coarser {'/'.join(taken)}")
        return self.renewed

    def progress(self, what: CallProgress) -> None:
        self.phases.append(what.phase)
        self.changed.set()

    async def _mark(self, kind: str, text: str) -> bool:
        await asyncio.sleep(0)
        if kind == self._broken:
            raise OSError("database gone")
        if kind == self._refuse:
            return False
        self.log.append(text)
        return True

    async def until(self, phase: str) -> None:
        async with asyncio.timeout(40):
            while phase not in self.phases:
                self.changed.clear()
                await self.changed.wait()


def plan(
    identity: CallIdentity, number: str = "+200", script: str = "ok", pages: int = 2, **changes: object
) -> CallPlan:
    """A plan whose fax name tells the fake worker what to play."""
    descriptor = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    values: dict[str, object] = {
        "attempt": "att_1",
        "identity": identity,
        "trunk": "t",
        "number": number,
        "sub_address": "",
        "caller": "+33100000000",
        "station_id": "+33 1",
        "documents": (CallDocument(f"{script}-FN1", descriptor, pages, 1, pages),),
        "ecm": True,
        "max_bit_rate": 14400,
    }
    return CallPlan(**{**values, **changes})  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something that happens in another process or task has happened; 40 s at most."""
    async with asyncio.timeout(40):
        while not condition():  # noqa: ASYNC110 -- there is no event to wait for
            await asyncio.sleep(0.01)
