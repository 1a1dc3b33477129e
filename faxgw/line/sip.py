"""The SIP line: the built-in telephony adapter (implements `fax.ports.Line`).

It owns one SIP listener and the call workers, and starts an `OutgoingFaxCall` for each plan. Calls that somebody
places to us are refused as long as reception does not exist: 480 to a trunk, 404 to everybody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from faxgw.fax.errors import FaxError
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallIdentity, CallMarks, CallPlan
from faxgw.foip import events
from faxgw.foip.dialog import DialogRecord
from faxgw.foip.errors import LocalProtocolError
from faxgw.line.calls import OutgoingFaxCall
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.trunk import SipSettings, Trunk, TrunkSettings
from faxgw.line.workers import COMMAND, CallWorkers, NoWorker

log = logging.getLogger(__name__)

STOP_WITHIN = 6.0
"""Seconds calls may take to say goodbye when we stop."""
MAX_SIP_CALLS = 1000
"""Calls at once on the listener, both directions."""


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
        self._trunks = {entry.name: Trunk(entry) for entry in trunks}
        self._workers = CallWorkers(settings.calls_per_worker, worker_command)
        self._endpoint = SipEndpoint(settings.listen, settings.public_address, self._refuse, MAX_SIP_CALLS)
        self._calls: dict[str, OutgoingFaxCall] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    async def start(self) -> None:
        """Bind the listener and start the first call worker.

        Raises:
            LineNotStarted: If either fails.
        """
        try:
            await self._endpoint.start()
            await self._workers.start()
        except (OSError, NoWorker) as exc:
            await self.stop()
            raise LineNotStarted(
                f"SIP on {self._settings.listen}: {exc}", public=f"SIP on {self._settings.listen} cannot be started."
            ) from exc
        log.info("line ready", extra={"event": "line.started", "port": self.port, "trunks": list(self._trunks)})

    async def stop(self) -> None:
        """End all calls properly (BYE or CANCEL), then the workers and the listener. Idempotent."""
        self._stopping = True
        for call in list(self._calls.values()):
            call.hang_up(Cause.LINE_FAULT, "the gateway was stopped")
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await self._idle.wait()
        except TimeoutError:
            log.error("calls left behind", extra={"event": "line.stopped", "calls": len(self._calls)})
        await self._workers.stop()
        await self._endpoint.stop()

    @property
    def port(self) -> int:
        """The bound SIP port."""
        return self._endpoint.port

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the call workers."""
        return self._workers.pids

    def new_identity(self, trunk: str) -> CallIdentity:
        """Draw the identity of the next call on a trunk."""
        drawn = self._endpoint.agent.new_identity()
        return CallIdentity(drawn.call_id, drawn.from_tag, drawn.branch, drawn.cseq)

    def trunks(self) -> Mapping[str, int]:
        """Names of the trunks and their channel limits, in order of preference."""
        return {name: trunk.settings.channels for name, trunk in self._trunks.items()}

    async def call(self, plan: CallPlan, marks: CallMarks) -> Outcome:
        """Place the call and see it to its end. Never raises for a failed fax."""
        trunk = self._trunks.get(plan.trunk)
        if trunk is None:
            return Outcome(Cause.NO_ROUTE, detail=f"there is no trunk {plan.trunk}")
        if self._stopping:
            return Outcome(Cause.LINE_FAULT, detail="the gateway is stopping")
        settings = self._settings
        call = OutgoingFaxCall(
            plan, marks, trunk, self._endpoint, self._workers, settings.media_ports, float(settings.t38_wait)
        )
        self._calls[plan.attempt] = call
        self._idle.clear()
        try:
            return await call.run()
        finally:
            del self._calls[plan.attempt]
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
        agent, now = self._endpoint.agent, self._endpoint.now
        try:
            if dialog:
                agent.bye_stranger(DialogRecord.from_dict(dialog), now, known.credentials)
            else:
                drawn = events.CallIdentity(identity.call_id, identity.from_tag, identity.branch, identity.cseq)
                agent.cancel_stranger(
                    drawn,
                    known.target(number),
                    await known.address(),
                    from_=known.from_(""),
                    to=known.to(number),
                    with_credentials=known.credentials is not None,
                    now=now,
                )
        except (LocalProtocolError, OSError) as exc:
            log.warning("earlier call not ended", extra={"event": "line.stranger", "why": str(exc)})
        self._endpoint.pump()

    def _refuse(self, event: events.IncomingCall) -> None:
        from_trunk = any(trunk.is_known_host(event.source[0]) for trunk in self._trunks.values())
        log.info("call refused", extra={"event": "line.refused", "source": event.source[0], "trunk": from_trunk})
        self._endpoint.agent.reject(event.call, 480 if from_trunk else 404, self._endpoint.now)
