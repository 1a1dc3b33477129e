"""Received faxes on paper: a client of printers and print servers (IPP, RFC 8011; docs/deliveries.md).

A job bears the delivery's own name, and before it is sent the printer is asked for a job of that name: a try whose
answer was lost prints nothing twice. The delivery is done when the printer says that the job is completed. A printer
is sent what it says it takes, PDF before TIFF, and never something that it does not name.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Sequence

from faxgw.delivery.post import post
from faxgw.delivery.received import Consignment, Undelivered
from faxgw.egress import Egress
from faxgw.formats import ipp
from faxgw.formats.ipp import Answer, Attribute, BadIpp, Operation, Tag
from faxgw.formats.received_payload import FaxDocument

PORT = 631
WITHIN_S = 120.0
"""Seconds for one request."""
PRINTED_S = 120.0
"""Seconds to wait for the paper; then the next try asks what became of the job."""
ASK_S = 1.0
"""Seconds between two questions."""
MAX_LISTED = 100
"""Jobs of ours that are looked at."""
CANCELED, ABORTED, COMPLETED = 7, 8, 9
"""States of a job (RFC 8011 section 5.3.7)."""


class PrintWay:
    """Prints.

    Args:
        egress: Who may be reached.
    """

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._numbers = itertools.count(1)

    async def deliver(self, consignment: Consignment) -> str:
        """See `received.Way`."""
        told = []
        for position, document in enumerate(consignment.documents, 1):
            name = f"fax {consignment.report.reception} {consignment.item[-8:]}-{position}"
            job = await self._known(consignment, name)
            if job is None:
                job = await self._print(consignment, name, document)
            await self._completed(consignment, job)
            told.append(f"job {job}")
        return ", ".join(told)

    async def _known(self, consignment: Consignment, name: str) -> int | None:
        """The job of an earlier try, unless it came to nothing."""
        for which in ("not-completed", "completed"):
            answer = await self._ask(
                consignment,
                Operation.GET_JOBS,
                [
                    Attribute("limit", Tag.INTEGER, (MAX_LISTED,)),
                    Attribute("requested-attributes", Tag.KEYWORD, ("job-id", "job-name", "job-state")),
                    Attribute("which-jobs", Tag.KEYWORD, (which,)),
                    Attribute("my-jobs", Tag.BOOLEAN, (True,)),
                ],
            )
            for kind, found in answer.groups:
                state = found.get("job-state", (0,))[0]
                if kind == ipp.JOB and found.get("job-name", ("",))[0] == name and state not in (CANCELED, ABORTED):
                    return int(found["job-id"][0])
        return None

    async def _print(self, consignment: Consignment, name: str, document: FaxDocument) -> int:
        asked = ("document-format-supported", "printer-is-accepting-jobs", "printer-state-reasons")
        printer = (
            await self._ask(
                consignment,
                Operation.GET_PRINTER_ATTRIBUTES,
                [Attribute("requested-attributes", Tag.KEYWORD, asked)],
            )
        ).first(ipp.PRINTER)
        takes = [str(one) for one in printer.get("document-format-supported", ())]
        if document.content_type not in takes:
            raise Undelivered(
                f"the printer does not take {document.content_type}, only {', '.join(takes) or 'nothing'}"
            )
        if printer.get("printer-is-accepting-jobs", (True,))[0] is False:
            raise Undelivered("the printer takes no jobs at present")
        more = [
            Attribute("job-name", Tag.NAME, (name,)),
            Attribute("document-name", Tag.NAME, (document.name,)),
            Attribute("document-format", Tag.MIME, (document.content_type,)),
        ]
        answer = await self._ask(consignment, Operation.PRINT_JOB, more, _job(consignment), document.octets)
        job = answer.first(ipp.JOB).get("job-id", (0,))[0]
        if not isinstance(job, int) or job < 1:
            raise Undelivered("the printer named no job")
        return job

    async def _completed(self, consignment: Consignment, job: int) -> None:
        """Wait for the paper. Raises Undelivered when it does not come."""
        why = ""
        for _ in range(int(PRINTED_S / ASK_S)):
            answer = await self._ask(
                consignment,
                Operation.GET_JOB_ATTRIBUTES,
                [
                    Attribute("job-id", Tag.INTEGER, (job,)),
                    Attribute("requested-attributes", Tag.KEYWORD, ("job-state", "job-state-reasons")),
                ],
            )
            found = answer.first(ipp.JOB)
            state = found.get("job-state", (0,))[0]
            why = ", ".join(str(one) for one in found.get("job-state-reasons", ()))
            if state == COMPLETED:
                return
            if state in (CANCELED, ABORTED):
                raise Undelivered(f"job {job} was {'canceled' if state == CANCELED else 'aborted'}: {why}")
            await asyncio.sleep(ASK_S)
        raise Undelivered(f"job {job} is not printed yet: {why}")

    async def _ask(
        self,
        consignment: Consignment,
        operation: Operation,
        more: Sequence[Attribute],
        job: Sequence[Attribute] = (),
        document: bytes = b"",
    ) -> Answer:
        target = consignment.target
        user, password = target.params.get("user", "faxgw"), consignment.secrets.get("password", "")
        body = ipp.request(operation, next(self._numbers), target.address, user, more, job) + document
        headers = {"Content-Type": ipp.MEDIA_TYPE}
        if password:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        answer = await post(self._egress, web_address(target.address), body, headers, within=WITHIN_S)
        if not answer.good:
            raise Undelivered(f"the printer: {answer.detail}")
        try:
            told = ipp.read(answer.body)
        except BadIpp as exc:
            raise Undelivered(str(exc)) from exc
        if not told.good:
            said = " ".join(str(one) for one in told.first(ipp.OPERATION).get("status-message", ()))
            raise Undelivered(f"the printer refuses: {operation.name} {told.status:#06x} {said}")
        return told


def _job(consignment: Consignment) -> list[Attribute]:
    """What the target wishes of the paper."""
    params = consignment.target.params
    found = [Attribute("copies", Tag.INTEGER, (int(params["copies"]),))] if params.get("copies") else []
    found += [Attribute(key, Tag.KEYWORD, (params[key],)) for key in ("media", "sides") if params.get(key)]
    return found


def web_address(address: str) -> str:
    """`http://printer:631/…` of `ipp://printer/…`, `https` of `ipps` (RFC 8010 section 4.2)."""
    scheme, _mark, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    if ":" not in host.rpartition("]")[2]:
        host = f"{host}:{PORT}"
    return f"{'https' if scheme == 'ipps' else 'http'}://{host}{slash}{path}"
