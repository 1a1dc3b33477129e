"""Programs that hand faxes in by every interface for machines, each as its interface asks of it.

A program writes down what it was promised (`Log`), repeats what got no answer, and asks in the end what became of it.
What a repeat may do is its interface's rule: the same Idempotency-Key is the same job, the same body within the window
is 409 with the first one's id, the same job file is told to be a duplicate and leaves the first one's result alone.
"""

from __future__ import annotations

import asyncio
import base64
import ftplib
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # answers are JSON
from xml.etree import ElementTree

import aiohttp
import asyncssh

from tests.api.desk import basic
from tests.faults.ledger import AGAIN, Load, Log

PASSWORD = "secret"
WAIT = 30.0
"""Seconds a program waits for one answer."""
LOOK = 0.1
"""Seconds between two looks whether a fax is over."""
REPEATED = 3
"""Every so many-th load is handed in once more though it was acknowledged: a program that forgot."""
_JOB = re.compile(r"F[A-MO-Z0-9][A-Z0-9]{20}")
JOB_XML = """<?xml version="1.0" encoding="UTF-8"?>
<jobs><reference>{name}</reference><fax><job-reference>{name}</job-reference>
<distribution-list>{recipients}</distribution-list>
<fax-file-list><fax-file><file-name>{name}.pdf</file-name></fax-file></fax-file-list></fax></jobs>
"""
RECIPIENT_XML = "<fax-address><fax-number>{}</fax-number></fax-address>"
SOAP = """<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>
<f:{name} xmlns:f="http://retarus.com/fax4ba/faxws/3/0"><username>{login}</username><password>secret</password>
{inner}</f:{name}></s:Body></s:Envelope>"""


class Away(Exception):
    """No answer, or one that asks for patience: the same again, later."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the gateway is reached, in every life of it."""

    http: int
    sftp: int
    ftp: int
    folders: Path
    """Parent of the watched folders, one for each policy."""
    push: str
    """URL of the program that is told of finished jobs."""

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.http}"


def name_of(load: Load) -> str:
    """The name that a load's job bears."""
    return f"load-{load.number}"


def login_of(load: Load) -> str:
    """Who hands it in."""
    return f"erp-{load.policy}"


def document_of(load: Load) -> bytes:
    """A document that is a watermark by itself (`scripted.ScriptedPages`)."""
    return json.dumps({"load": load.number, "pages": load.pages}).encode()


class Program(ABC):
    """One program.

    Args:
        doors: Where the gateway is.
        log: The ledger of these programs.
    """

    name = ""
    keyed = False
    """A repeat is the same job whatever has become of it; else one that has failed as a whole may be sent again."""

    def __init__(self, doors: Doors, log: Log) -> None:
        self.doors = doors
        self._log = log
        self._stored: set[str] = set()
        """Files that it knows to be stored."""

    async def run(self, load: Load) -> None:
        """Hand a load in until it is acknowledged, and ask until it is over."""
        self._log.write(
            what="load", load=load.number, by=self.name, policy=load.policy, pages=load.pages, to=list(load.to)
        )
        job = await self._accepted(load)
        if load.number % REPEATED == 0 and (self.keyed or any(number.endswith("00") for number in load.to)):
            self._stored.clear()
            await self._accepted(load, "again")
        while True:
            try:
                told = await self.told(load, job)
            except (Away, OSError, aiohttp.ClientError, asyncssh.Error, ftplib.Error, TimeoutError, EOFError):
                told = None
            if told is not None:
                self._log.write(what="told", load=load.number, told=dict(told))
                return
            await asyncio.sleep(LOOK)

    async def _accepted(self, load: Load, what: str = "accepted") -> str:
        while True:
            try:
                async with asyncio.timeout(WAIT):
                    job = await self.hand_in(load)
            except (Away, OSError, aiohttp.ClientError, asyncssh.Error, ftplib.Error, TimeoutError, EOFError) as exc:
                self._log.write(what="no answer", load=load.number, why=f"{type(exc).__name__}: {exc}"[:200])
                await asyncio.sleep(AGAIN)
                continue
            self._log.write(what=what, load=load.number, job=job)
            return job

    @abstractmethod
    async def hand_in(self, load: Load) -> str:
        """Hand a load in; its job's id where the interface tells one. Raises Away."""

    @abstractmethod
    async def told(self, load: Load, job: str) -> Mapping[str, str] | None:
        """Number → status, once all are final; None before. Raises Away."""


class _Http(Program):
    """What those over HTTP have in common."""

    async def call(
        self, load: Load, method: str, path: str, *, headers: Mapping[str, str] | None = None, **body: Any
    ) -> tuple[int, str]:
        """(status, text); what asks for patience is Away."""
        fields = {**basic(login_of(load), PASSWORD), **(headers or {})}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT)) as session,
            session.request(method, self.doors.base + path, headers=fields, **body) as answer,
        ):
            text = await answer.text()
        if answer.status in (408, 429, 502, 503) or (answer.status == 409 and "in_progress" in text):
            raise Away(f"{answer.status} {text[:100]}")
        return answer.status, text


class Rest(_Http):
    """The vendor's REST interface; its report is pushed, too."""

    name = "rest"

    def push(self, load: Load) -> str:
        return f"{self.doors.push}/{name_of(load)}"

    async def hand_in(self, load: Load) -> str:
        body = {
            "recipients": [{"number": number} for number in load.to],
            "documents": [{"name": f"{name_of(load)}.pdf", "data": base64.b64encode(document_of(load)).decode()}],
            "reference": {"customerDefinedId": name_of(load)},
            "statusReportOptions": {"httpStatusPush": {"targetUrl": self.push(load), "authMethod": "NONE"}},
        }
        status, text = await self.call(load, "POST", f"/rest/v1/{load.policy}/fax", json=body)
        assert status in (200, 409), f"{status} {text}"
        return str(json.loads(text)["jobId"])

    async def told(self, load: Load, job: str) -> Mapping[str, str] | None:
        status, text = await self.call(load, "GET", f"/rest/v1/{load.policy}/fax/reports/{job}")
        assert status == 200, f"{status} {text}"
        return _settled({r["number"]: r["status"] for r in json.loads(text)["recipientStatus"]})


class Soap(_Http):
    """The vendor's SOAP interface."""

    name = "soap"

    async def _post(self, load: Load, name: str, inner: str) -> ElementTree.Element:
        body = SOAP.format(name=name, login=login_of(load), inner=inner).encode()
        headers = {"Content-Type": "text/xml"}
        status, text = await self.call(load, "POST", "/soap/v3", data=body, headers=headers)
        if status != 200 and "duplicate_job" not in text:
            raise Away(text[:200])
        return ElementTree.fromstring(text)

    async def hand_in(self, load: Load) -> str:
        to = "".join(f"<faxRecipient><number>{number}</number></faxRecipient>" for number in load.to)
        data = base64.b64encode(document_of(load)).decode()
        document = f"<document><name>{name_of(load)}.pdf</name><data>{data}</data></document>"
        options = f"<options><jobReference>{name_of(load)}</jobReference></options>"
        found = await self._post(load, "JobRequest", to + document + options)
        (job,) = set(_JOB.findall(ElementTree.tostring(found, "unicode")))
        return str(job)

    async def told(self, load: Load, job: str) -> Mapping[str, str] | None:
        found = await self._post(load, "ReportRequest", f"<jobId>{job}</jobId>")
        recipients = found.findall(".//faxRecipient")
        return _settled({r.findtext("number", ""): r.findtext("status", "") for r in recipients})


class Native(_Http):
    """The native API, by JSON."""

    name = "native"
    keyed = True

    async def hand_in(self, load: Load) -> str:
        body = {
            "to": list(load.to),
            "reference": name_of(load),
            "documents": [{"name": "letter.pdf", "data": base64.b64encode(document_of(load)).decode()}],
        }
        return await self._sent(load, json=body)

    async def _sent(self, load: Load, **body: Any) -> str:
        headers = {"Idempotency-Key": name_of(load)}
        status, text = await self.call(load, "POST", "/api/v1/faxes", headers=headers, **body)
        assert status == 202, f"{status} {text}"
        return str(json.loads(text)["job"])

    async def told(self, load: Load, job: str) -> Mapping[str, str] | None:
        found: dict[str, str] = {}
        path: str | None = f"/api/v1/faxes?job={job}&limit=100"
        while path is not None:
            status, text = await self.call(load, "GET", path)
            assert status == 200, f"{status} {text}"
            page = json.loads(text)
            found |= {fax["number"]: fax["state"] for fax in page["faxes"]}
            cursor = page["next"]
            path = f"/api/v1/faxes?job={job}&limit=100&cursor={cursor}" if cursor else None
        final = {"sent": "OK", "unknown": "EOD_FAILED", "failed": "FAILED"}
        return {number: final[state] for number, state in found.items()} if set(found.values()) <= set(final) else None


class Form(Native):
    """The native API, by a form."""

    name = "form"

    async def hand_in(self, load: Load) -> str:
        form = aiohttp.FormData()
        for number in load.to:
            form.add_field("to", number)
        form.add_field("fax", json.dumps({"reference": name_of(load)}), content_type="application/json")
        form.add_field("document", document_of(load), filename="letter.pdf", content_type="application/pdf")
        return await self._sent(load, data=form)


class Sftp(Program):
    """Job files over SFTP. A file that is known to be stored is not sent again."""

    name = "sftp"

    def files(self, load: Load) -> Mapping[str, bytes]:
        """What is laid down, in this order."""
        recipients = "".join(RECIPIENT_XML.format(number) for number in load.to)
        job = JOB_XML.format(name=name_of(load), recipients=recipients)
        return {f"{name_of(load)}.pdf": document_of(load), f"job-{name_of(load)}.xml": job.encode()}

    async def hand_in(self, load: Load) -> str:
        async with self._session(load) as sftp:
            for name, octets in self.files(load).items():
                if name not in self._stored:
                    async with sftp.open(f"in/{name}", "wb") as file:
                        await file.write(octets)
                    self._stored.add(name)
        return ""

    def _session(self, load: Load) -> _Session:
        return _Session(self.doors.sftp, login_of(load))

    async def told(self, load: Load, job: str) -> Mapping[str, str] | None:
        async with self._session(load) as sftp:
            try:
                async with sftp.open(f"out/rep-{name_of(load)}.xml", "rb") as file:
                    octets = await file.read()
            except asyncssh.SFTPNoSuchFile:
                return None
        assert isinstance(octets, bytes)
        return self.read(load, octets)

    def read(self, load: Load, octets: bytes) -> Mapping[str, str]:
        """What a result says; it is final, and never another one later."""
        self._log.write(what="result", load=load.number, octets=octets.decode())
        found = ElementTree.fromstring(octets).findall(".//fax-address")
        return {each.findtext("fax-number", ""): each.findtext("status", "") for each in found}


class _Session:
    """A session of SFTP that leaves nothing behind."""

    def __init__(self, port: int, login: str) -> None:
        self._port = port
        self._login = login

    async def __aenter__(self) -> asyncssh.SFTPClient:
        self._conn = await asyncssh.connect(
            "127.0.0.1", self._port, username=self._login, password=PASSWORD, known_hosts=None, config=(),
            client_keys=None, agent_path=None,
        )  # fmt: skip
        try:
            return await self._conn.start_sftp_client()
        except BaseException:
            self._conn.abort()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._conn.abort()
        await self._conn.wait_closed()


class Ftp(Sftp):
    """Job files over FTP: uploaded under another name, and renamed."""

    name = "ftp"

    async def hand_in(self, load: Load) -> str:
        for name, octets in self.files(load).items():
            if name not in self._stored:
                await asyncio.to_thread(self._upload, load, name, octets)
                self._stored.add(name)
        return ""

    def _upload(self, load: Load, name: str, octets: bytes) -> None:
        with ftplib.FTP() as ftp:
            ftp.connect("127.0.0.1", self.doors.ftp, WAIT)
            ftp.login(login_of(load), PASSWORD)
            ftp.cwd("in")
            ftp.storbinary(f"STOR {name}.part", io.BytesIO(octets))
            for there in ftp.nlst():
                if there == name:  # the rename of an earlier try was done, and its answer lost
                    ftp.delete(name)
            ftp.rename(f"{name}.part", name)


class Folder(Sftp):
    """Job files in a watched folder: written, synced and renamed, which needs no answer."""

    name = "folder"

    def folder(self, load: Load) -> Path:
        return self.doors.folders / load.policy

    async def hand_in(self, load: Load) -> str:
        for name, octets in self.files(load).items():
            if name not in self._stored:
                inbox = self.folder(load) / "in"
                inbox.mkdir(parents=True, exist_ok=True)
                (inbox / f"{name}.part").write_bytes(octets)
                (inbox / f"{name}.part").rename(inbox / name)
                self._stored.add(name)
        return ""

    async def told(self, load: Load, job: str) -> Mapping[str, str] | None:
        path = self.folder(load) / "out" / f"rep-{name_of(load)}.xml"
        return self.read(load, path.read_bytes()) if path.exists() else None


PROGRAMS: tuple[Callable[[Doors, Log], Program], ...] = (Rest, Soap, Native, Form, Sftp, Ftp, Folder)
"""All of them."""


def _settled(told: Mapping[str, str]) -> Mapping[str, str] | None:
    return None if "PENDING" in told.values() or not told else told
