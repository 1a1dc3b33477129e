"""The SIP line: the built-in telephony adapter (implements `fax.ports.Line`).

It owns the SIP listeners and the call workers, and starts an `OutgoingFaxCall` for each plan and an `IncomingFaxCall`
for each call that a trunk brings us. Who is no trunk gets a 404 that costs us nothing, and only so often.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any  # JSON

from faxgw.fax.errors import FaxError
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallIdentity, CallMarks, CallPlan, InboundCalls, Recordings
from faxgw.foip import events
from faxgw.foip.dialog import DialogRecord
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.transaction import Address
from faxgw.line.dns import Resolver
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.endpoints import Endpoints, NotListening
from faxgw.line.identity import dialled, identified
from faxgw.line.incoming import IncomingFaxCall
from faxgw.line.outgoing import OutgoingFaxCall
from faxgw.line.recordings import Studio
from faxgw.line.suspects import Suspects
from faxgw.line.targets import leg_of
from faxgw.line.trunk import SipSettings, Trunk, TrunkSettings
from faxgw.line.trunk_keeper import TrunkKeeper
from faxgw.line.workers import COMMAND, CallWorkers, NoWorker
from faxgw.settings import Tls

log = logging.getLogger(__name__)

STOP_WITHIN = 6.0
"""Seconds calls may take to say goodbye when we stop."""
LAST_WORDS_WITHIN = 2.0
"""Seconds a call to us may take to write down its end then; recovery closes it otherwise."""
ADJUSTABLE = ("channels", "inbound_channels", "ring_time")
"""Settings of a trunk that may change while it works."""
STRANGERS_PER_SECOND = 10
"""INVITEs of strangers that are answered; those beyond are dropped: their senders look for open gateways."""


NOT_FOUND, UNAVAILABLE, BUSY = 404, 480, 486
"""SIP statuses (RFC 3261 sections 21.4.5, 21.4.18 and 21.4.24)."""


class LineNotStarted(FaxError):
    """The SIP port cannot be bound, or no call worker can be started."""

    default_public = "The telephone line could not be started."
    default_temporary = False


class SipLine:
    """SIP trunks with T.38 and G.711.

    Args:
        settings: `[sip]`.
        trunks: `[[trunk]]`, in order of preference.
        worker_command: What a call worker is; only tests say otherwise.
    """

    def __init__(
        self, settings: SipSettings, trunks: Sequence[TrunkSettings], worker_command: Sequence[str] = COMMAND
    ) -> None:
        self._settings = settings
        resolver = Resolver(settings.nameservers)
        self._trunks = {entry.name: Trunk(entry, resolver) for entry in trunks}
        self.keeper = TrunkKeeper(self._trunks, resolver)
        """Registrations, keep-alive, and which trunks are up."""
        self._workers = CallWorkers(settings.calls_per_worker, worker_command)
        self._suspects = Suspects()
        self._endpoints = Endpoints(settings, list(self._trunks.values()), self._on_incoming, self._screen)
        self._endpoint = self._endpoints.of("udp")
        self._studio = Studio(settings.record)
        self._calls: dict[str, OutgoingFaxCall] = {}
        self._leaving: Counter[str] = Counter()
        self._inbound: InboundCalls | None = None
        self._arriving: dict[asyncio.Task[None], IncomingFaxCall] = {}
        self._strangers = (0.0, 0)
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    async def start(self) -> None:
        """Bind the listeners and start the first call worker.

        Raises:
            LineNotStarted: If either fails.
        """
        try:
            await self._endpoints.start()
            await self._workers.start()
        except (OSError, NoWorker) as exc:
            await self.stop()
            place = exc.place if isinstance(exc, NotListening) else "A call worker"
            raise LineNotStarted(str(exc), public=f"{place} cannot be started.") from exc
        self.keeper.start(self.endpoint_of)
        ports = self._endpoints.ports
        log.info("line ready", extra={"event": "line.started", "ports": ports, "trunks": list(self._trunks)})

    async def stop(self) -> None:
        """End all calls properly (BYE or CANCEL), then the workers and the listeners. Idempotent."""
        self._stopping = True
        for call in list(self._calls.values()):
            call.hang_up(Cause.LINE_FAULT, "the gateway was stopped")
        for arriving in list(self._arriving.values()):
            arriving.hang_up(Cause.LINE_FAULT, "the gateway was stopped")
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await self._idle.wait()
                while self._arriving:
                    await asyncio.wait(self._arriving)
        except TimeoutError:
            left = len(self._calls) + len(self._arriving)
            log.error("calls left behind", extra={"event": "line.stopped", "calls": left})
        await self._give_up([*self._arriving])
        await self.keeper.stop()
        await self._workers.stop()
        await self._endpoints.stop()
        await self._studio.close()

    async def _give_up(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Cancel tasks; those that still write down their call's end have LAST_WORDS_WITHIN for it."""
        for _ in range(2):
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=LAST_WORDS_WITHIN)

    def adjust(self, trunks: Sequence[TrunkSettings]) -> None:
        """Take on ADJUSTABLE of the trunks that we have; only calls that begin from now on heed it."""
        for entry in trunks:
            trunk = self._trunks.get(entry.name)
            if trunk is not None:
                trunk.settings = trunk.settings.model_copy(update={key: getattr(entry, key) for key in ADJUSTABLE})

    @property
    def port(self) -> int:
        """The bound SIP port of UDP."""
        return self._endpoint.port

    def endpoint_of(self, trunk: Trunk) -> SipEndpoint:
        """The endpoint whose transport the trunk uses."""
        return self._endpoints.of(trunk.settings.transport)

    @property
    def ports(self) -> Mapping[str, int]:
        """Transports spoken (`udp`, `tcp`, `tls`), and the ports that stand in Via and Contact."""
        return self._endpoints.ports

    def reload_tls(self, tls: Tls | None) -> None:
        """Read certificates and keys anew, ours and the trunks', for connections from now on.

        Args:
            tls: Where ours lie now.

        Raises:
            OSError: If they cannot be used; the old ones stay.
        """
        self._endpoints.renew(tls)

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the call workers."""
        return self._workers.pids

    def new_identity(self, trunk: str) -> CallIdentity:
        """Draw the identity of the next call on a trunk."""
        drawn = self._endpoint.agent.new_identity()
        return CallIdentity(drawn.call_id, drawn.from_tag, drawn.branch, drawn.cseq)

    def trunks(self) -> Mapping[str, int]:
        """Names of the trunks, in order of preference, and the channels that calls to us leave of them.

        A trunk that is down comes last and has none.
        """
        free = {name: trunk.settings.channels - self._arriving_on(name) for name, trunk in self._trunks.items()}
        return self.keeper.usable(free)

    @property
    def faults(self) -> Mapping[str, str]:
        """The trunks that are down, and why."""
        return self.keeper.faults()

    @property
    def channels(self) -> Mapping[str, int]:
        """Names of the trunks and all their channels, in order of preference."""
        return {name: trunk.settings.channels for name, trunk in self._trunks.items()}

    def tell_changes(self, tell: Callable[[], None]) -> None:
        """Call `tell` whenever a trunk has gone down or is up again."""
        self.keeper.when_changed = tell

    def take_calls(self, inbound: InboundCalls) -> None:
        """Admit calls to us from now on; before, a trunk is told 480."""
        self._inbound = inbound

    def presentation(self, trunk: str, number: str, caller: str, name: str, *, withheld: bool) -> Mapping[str, Any]:
        """How a call on a trunk would look on the wire, and what it would do about T.38, as JSON."""
        found = self._trunks[trunk]
        settings = found.settings
        return {
            "request_uri": found.target(number),
            "to": found.to(number),
            "from": found.from_(caller, name, withheld=withheld),
            "headers": [list(field) for field in found.identity_headers(caller, name, withheld, number)],
            "t38": settings.t38,
            "t38_offer": settings.t38_offer,
            "t38_wait": float(self._settings.t38_wait),
        }

    def record_to(self, keeper: Recordings) -> None:
        """Keep recordings there; before, no call is recorded."""
        self._studio.keeper = keeper

    async def drain(self, grace: float) -> None:
        """Take no more calls to us, and wait at most `grace` seconds for those that are."""
        self._inbound = None
        if self._arriving:
            await asyncio.wait(self._arriving, timeout=grace)

    async def call(self, plan: CallPlan, marks: CallMarks) -> Outcome:
        """Place the call and see it to its end. Never raises for a failed fax."""
        trunk = self._trunks.get(plan.trunk)
        if trunk is None:
            return Outcome(Cause.NO_ROUTE, detail=f"there is no trunk {plan.trunk}")
        if self._stopping:
            return Outcome(Cause.LINE_FAULT, detail="the gateway is stopping")
        settings = self._settings
        call = OutgoingFaxCall(
            plan, marks, trunk, self.endpoint_of(trunk), self._workers, settings.media_ports, float(settings.t38_wait)
        )
        self._calls[plan.attempt] = call
        self._leaving[plan.trunk] += 1
        self._idle.clear()
        tape, always = self._studio.tape(plan.number, mode=trunk.settings.record)
        outcome: Outcome | None = None
        if tape is not None:
            call.record(tape)
        try:
            outcome = await call.run()
            return outcome
        finally:
            if tape is not None:
                keep = always or outcome is None or outcome.cause is not Cause.OK
                header = call.header(plan.attempt, plan.number, plan.caller)
                self._studio.develop(tape, header, call.messages, keep=keep)
            del self._calls[plan.attempt]
            self._leaving[plan.trunk] -= 1
            if not self._calls:
                self._idle.set()

    async def hangup(self, attempt: str) -> None:
        """End the call of an attempt for its owner; `call` then returns. Nothing happens if it is over."""
        if attempt in self._calls:
            self._calls[attempt].hang_up(Cause.CANCELLED, "cancelled during the call")

    async def end_stranger(self, trunk: str, identity: CallIdentity, number: str, dialog: Mapping[str, object]) -> None:
        """Recovery: BYE (stored dialog) or CANCEL (none) for a call of an earlier incarnation; does not wait."""
        known = self._trunks.get(trunk)
        if known is None:
            log.warning("trunk of an earlier call is gone", extra={"event": "line.stranger", "trunk": trunk})
            return
        endpoint = self.endpoint_of(known)
        agent, now = endpoint.agent, endpoint.now
        try:
            if dialog:
                agent.bye_stranger(DialogRecord.from_dict(dialog), now, known.credentials)
            else:
                drawn = events.CallIdentity(identity.call_id, identity.from_tag, identity.branch, identity.cseq)
                for server in await known.servers(endpoint.family):  # whichever of them it was sent to
                    agent.cancel_stranger(
                        leg_of(drawn, server, alone=known.has_one_server),
                        known.target(number),
                        server.address,
                        from_=known.from_(""),
                        to=known.to(number),
                        with_credentials=known.credentials is not None,
                        with_redirects=True,
                        route=known.route,
                        now=now,
                    )
        except (LocalProtocolError, OSError) as exc:
            log.warning("earlier call not ended", extra={"event": "line.stranger", "why": str(exc)})
        endpoint.pump()

    # Calls to us

    def _screen(self, source: Address) -> int | None:
        """Let trunks pass; strangers get a 404, STRANGERS_PER_SECOND of them (docs/receiving.md)."""
        if self._trunk_at(source[0]) is not None:
            return None
        second, count = self._strangers
        now = self._endpoint.now
        if now - second >= 1.0:
            if count > STRANGERS_PER_SECOND:
                log.warning("strangers call", extra={"event": "line.strangers", "calls": count})
            second, count = now, 0
        self._strangers = (second, count + 1)
        return NOT_FOUND if count < STRANGERS_PER_SECOND else 0

    def _trunk_at(self, host: str, user: str = "") -> Trunk | None:
        """The trunk that calls come from at an address; of several, the one whose registered user is called."""
        there = [trunk for trunk in self._trunks.values() if trunk.is_known_host(host)]
        named = [trunk for trunk in there if trunk.is_registered_as(user)]
        return next(iter(named + there), None)

    def _arriving_on(self, trunk: str) -> int:
        return sum(1 for call in self._arriving.values() if call.trunk == trunk)

    def _on_incoming(self, endpoint: SipEndpoint, event: events.IncomingCall) -> None:
        """A call of a trunk: start it, unless there is a reason not to."""
        trunk = self.keeper.called(event.call.rpartition("/")[0]) or self._trunk_at(event.source[0], event.target)
        status = NOT_FOUND if trunk is None else self._obstacle(trunk)
        if trunk is None or status or self._inbound is None:
            log.info("call refused", extra={"event": "line.refused", "source": event.source[0], "status": status})
            endpoint.agent.reject(event.call, status or UNAVAILABLE, endpoint.now)
            return
        call = IncomingFaxCall(
            identified(event, trunk.settings.caller_from),
            dialled(event, trunk.settings.dialled_from),
            self._inbound,
            trunk,
            endpoint,
            self._workers,
            self._settings.media_ports,
            self._suspects,
        )
        task = asyncio.create_task(self._see_through(call), name=f"call to us {event.call}")
        self._arriving[task] = call
        task.add_done_callback(lambda done: self._arriving.pop(done, None))

    def _obstacle(self, trunk: Trunk) -> int:
        """The SIP status that refuses any call of this trunk now; 0: none."""
        if self._inbound is None or self._stopping:
            return UNAVAILABLE
        arriving = self._arriving_on(trunk.name)
        busy = arriving + self._leaving[trunk.name]
        full = arriving >= trunk.inbound_channels or busy >= trunk.settings.channels
        return BUSY if full else 0

    async def _see_through(self, call: IncomingFaxCall) -> None:
        tape, always = self._studio.tape(*call.numbers, mode=self._trunks[call.trunk].settings.record)
        if tape is not None:
            call.record(tape)
        try:
            await call.run()
        except Exception:  # the task's owner: no fault of one call ends the others
            log.exception("call to us failed", extra={"event": "line.fault"})
        finally:
            if tape is not None:
                header = call.header(call.reception, *call.numbers) if call.reception else None
                self._studio.develop(tape, header, call.messages, keep=always or call.failed)
