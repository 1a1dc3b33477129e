"""One request outside a dialog, sent by an endpoint and waited for: REGISTER and OPTIONS to a trunk's servers."""

from __future__ import annotations

import asyncio

from faxgw.foip.client import MAX_ATTEMPTS, Sending
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.events import CallId, RequestDone, Why
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.workers import Inbox


async def ask(endpoint: SipEndpoint, sending: Sending, within: float | None = None) -> RequestDone:
    """Send a request and wait for what comes of it. Never raises for a failed one.

    Args:
        endpoint: Whose agent sends it.
        sending: The request.
        within: Seconds to wait; None: until the transaction gives up (64·T1).
    """
    inbox: Inbox = asyncio.Queue()
    agent = endpoint.agent
    try:
        await endpoint.reach(sending.destination)
    except OSError as exc:
        return _failed(sending, CallId(""), str(exc) or "not reached in time", Why.TRANSPORT)
    try:
        call = agent.request(
            sending.method,
            sending.target,
            sending.destination,
            from_=sending.from_,
            to=sending.to,
            headers=sending.headers,
            body=sending.body,
            credentials=sending.credentials,
            route=sending.route,
            call_id=sending.call_id,
            from_tag=sending.from_tag,
            cseq=sending.cseq,
            now=endpoint.now,
        )
    except LocalProtocolError as exc:
        return _failed(sending, CallId(""), str(exc), Why.TRANSPORT)
    endpoint.listen(call, inbox)
    endpoint.pump()
    try:
        async with asyncio.timeout(within):
            while True:
                event = await inbox.get()
                if isinstance(event, RequestDone):
                    return event
    except TimeoutError:
        return _failed(sending, call, "no answer in time", Why.TIMEOUT)
    finally:
        endpoint.forget(call)
        agent.abandon(call)


def _failed(sending: Sending, call: CallId, reason: str, why: Why) -> RequestDone:
    """An outcome made here; any of the request's numbers may have been used."""
    status = 503 if why is Why.TRANSPORT else 408
    return RequestDone(call, sending.method, status, reason, (), why, sending.cseq + MAX_ATTEMPTS)
