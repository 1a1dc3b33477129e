"""The operator's side of the socket (`api.control`): what the commands ask a running gateway."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any  # JSON answers
from urllib.parse import quote

import aiohttp
from yarl import URL

from faxgw.fax.errors import FaxError

SOCKET = "control.sock"
"""Name of the socket in the data folder."""
CHUNK = 256 * 1024
"""Octets of an export written at a time."""
TIMEOUT = 60.0
"""Seconds for one answer."""


class NotRunning(FaxError):
    """No gateway answers on the socket of this data folder."""

    default_public = "No gateway runs on this data folder."


class Unwilling(FaxError):
    """The gateway refused what was asked, in words."""

    default_temporary = False


class Control:
    """Asks one gateway.

    Args:
        data: Its data folder.
    """

    def __init__(self, data: Path) -> None:
        self._path = str(data / SOCKET)

    async def status(self) -> Mapping[str, Any]:
        """Listeners, trunks, live calls, counts."""
        return await self._json("GET", "/status")

    async def calls(self) -> Mapping[str, Any]:
        """The calls in progress: `at`, and `calls` (docs/calls.md)."""
        return await self._json("GET", "/calls")

    async def recording(self, call: str, form: str) -> bytes:
        """The recording of a call, as `pcap` or as `recording`."""
        return await self._octets("GET", f"/recordings/{_path(call)}", {"form": form})

    async def record(self, number: str, who: str) -> str:
        """Have the next call to or from a number recorded; what became of the wish, in words."""
        return str((await self._json("POST", "/record", {"number": number, "who": who}))["result"])

    async def faxes(self, *, limit: int, final: bool) -> Sequence[Mapping[str, Any]]:
        """Faxes, those not final first."""
        answer = await self._json("GET", "/faxes", {"limit": str(limit), "all": "1" if final else "0"})
        found: Sequence[Mapping[str, Any]] = answer["faxes"]
        return found

    async def find(self, ident: str) -> Mapping[str, Any]:
        """Everything known of a fax, job or message."""
        return await self._json("GET", f"/find/{_path(ident)}")

    async def settings(self, account: str) -> Mapping[str, Mapping[str, Any]]:
        """The settings in force for a customer or customer/user: key → value and origin."""
        answer = await self._json("GET", "/settings", {"account": account})
        found: Mapping[str, Mapping[str, Any]] = answer["settings"]
        return found

    async def confirm_clock(self, who: str) -> None:
        """The clock is right: expiry and purge go on."""
        await self._json("POST", "/clock", {"who": who})

    async def tiff(self, ident: str) -> bytes:
        """The composed pages of a fax's newest attempt."""
        return await self._octets("GET", f"/tiff/{_path(ident)}")

    async def preview(self, ident: str) -> Mapping[str, Any]:
        """What a fax looks like and will take, without pictures."""
        return await self._json("GET", f"/preview/{_path(ident)}")

    async def preview_page(self, ident: str, page: int) -> bytes:
        """One page of it as PNG."""
        return await self._octets("GET", f"/preview/{_path(ident)}/{page}")

    async def receptions(self, *, limit: int, everything: bool) -> Sequence[Mapping[str, Any]]:
        """Received faxes, newest first; with `everything` also calls that brought no page."""
        answer = await self._json("GET", "/receptions", {"limit": str(limit), "all": "1" if everything else "0"})
        found: Sequence[Mapping[str, Any]] = answer["receptions"]
        return found

    async def document(self, ident: str) -> bytes:
        """The PDF of a received fax."""
        return await self._octets("GET", f"/document/{_path(ident)}")

    async def wish(self, ident: str, verb: str, who: str) -> Mapping[str, str]:
        """Cancel, hold or release; fax → what became of it."""
        answer = await self._json("POST", f"/faxes/{_path(ident)}/{verb}", {"who": who})
        found: Mapping[str, str] = answer["faxes"]
        return found

    async def explain(self, number: str, customer: str, sender: str) -> Mapping[str, Any]:
        """What the next call to a number will do."""
        return await self._json("GET", "/explain", {"number": number, "customer": customer, "sender": sender})

    async def destinations(self, number: str, limit: int) -> Mapping[str, Any]:
        """What was learned of the numbers called last, or of one."""
        return await self._json("GET", "/destinations", {"number": number, "limit": str(limit)})

    async def forget(self, number: str, who: str) -> str:
        """Forget what was learned of a number; the number that was meant."""
        answer = await self._json("DELETE", "/destinations", {"number": number, "who": who})
        return str(answer["forgotten"])

    async def restored(self, verb: str, who: str, **query: str) -> Mapping[str, Any]:
        """Release or cancel what a restored backup holds."""
        return await self._json("POST", f"/restored/{verb}", {"who": who, **query})

    async def admin(
        self,
        method: str,
        *path: str,
        query: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        body: object = None,
    ) -> Mapping[str, Any]:
        """Ask the accounts interface (docs/accounts.md).

        Args:
            method: HTTP method.
            path: Segments of the path.
            query: Query parameters.
            body: The document to send, octets as they are; None: none.
        """
        url = "/admin/" + "/".join(quote(segment, safe="") for segment in path)
        octets = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return await self._json(method, url, query, octets)

    async def page(self, *path: str, query: Sequence[tuple[str, str]]) -> tuple[bytes, int]:
        """A page that the accounts interface shows as PNG, and how many there are (docs/templates.md)."""
        url = "/admin/" + "/".join(quote(segment, safe="") for segment in path)
        octets, headers = await self._answer("GET", url, query)
        return octets, int(headers.get("X-Pages", "1"))

    async def example(self, *path: str, query: Sequence[tuple[str, str]]) -> bytes:
        """An example mail of a mail template (docs/status-mails.md)."""
        return await self._octets("GET", "/admin/" + "/".join(quote(segment, safe="") for segment in path), query)

    async def maintenance(self, reason: str | None) -> str:
        """Set the switch, or open again with an empty reason; None: only look. The reason that holds now."""
        body = None if reason is None else json.dumps({"reason": reason}).encode()
        answer = await self._json("GET" if reason is None else "PUT", "/maintenance", None, body)
        return str(answer["reason"])

    async def send(self, mail: bytes, numbers: Sequence[str], **query: str) -> Mapping[str, str]:
        """Hand in a mail for numbers."""
        params = [*(("number", n) for n in numbers), *query.items()]
        return await self._json("POST", "/send", params, mail)

    async def export(self, query: Mapping[str, str], target: Path) -> int:
        """Write the archive to a file that does not exist yet, as it comes; its octets (docs/archive.md).

        Raises:
            NotRunning: If nobody answers, or stops in between; the file is no whole ZIP file then, and removed.
            Unwilling: If the gateway refuses, or the file exists.
        """
        url, written = URL("http://gateway/admin/archive/export"), 0
        timeout = aiohttp.ClientTimeout(total=None, sock_read=TIMEOUT)
        try:
            with target.open("xb") as file:
                async with self._session() as session, session.get(url, params=query, timeout=timeout) as answer:
                    if answer.status >= 400:
                        raise Unwilling(public=str(_read(await answer.read()).get("error", "The gateway refused.")))
                    async for chunk in answer.content.iter_chunked(CHUNK):
                        written += file.write(chunk)
        except FileExistsError as exc:
            raise Unwilling(public=f"{target} exists; an export never overwrites anything.") from exc
        except (aiohttp.ClientError, TimeoutError) as exc:
            await asyncio.to_thread(target.unlink)
            raise NotRunning(str(exc), public="The gateway did not send the whole archive.") from exc
        except Unwilling:
            await asyncio.to_thread(target.unlink)
            raise
        return written

    async def _json(self, method: str, path: str, params: Any = None, body: bytes | None = None) -> Mapping[str, Any]:
        return _read(await self._octets(method, path, params, body))

    async def _octets(self, method: str, path: str, params: Any = None, body: bytes | None = None) -> bytes:
        return (await self._answer(method, path, params, body))[0]

    async def _answer(
        self, method: str, path: str, params: Any = None, body: bytes | None = None
    ) -> tuple[bytes, Mapping[str, str]]:
        """One request: the body of its answer, and its header fields.

        Raises:
            NotRunning: If nobody answers, or not in time.
            Unwilling: If the gateway refuses, with its words.
        """
        data = None if body is None else io.BytesIO(body)
        async with self._session() as session:
            try:
                url = URL(f"http://gateway{path}", encoded=True)
                async with session.request(method, url, params=params, data=data) as answer:
                    status, octets, headers = answer.status, await answer.read(), answer.headers
            except aiohttp.ClientConnectorError as exc:
                raise NotRunning(str(exc)) from exc
            except (aiohttp.ClientError, TimeoutError) as exc:
                raise NotRunning(str(exc), public="The gateway did not answer.") from exc
        if status >= 400:
            raise Unwilling(public=str(_read(octets).get("error", f"The gateway answered {status}.")))
        return octets, headers

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(self._path), timeout=aiohttp.ClientTimeout(total=TIMEOUT)
        )


def _read(octets: bytes) -> Mapping[str, Any]:
    """An answer of the gateway; empty when it is no JSON object (a fault on its side)."""
    try:
        found = json.loads(octets)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _path(ident: str) -> str:
    return "".join(c for c in ident if c.isalnum() or c == "_")
