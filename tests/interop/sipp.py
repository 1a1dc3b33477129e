"""sipp and its scenarios: steps in Python that become the XML sipp reads.

A scenario is strict: what comes and was not expected fails it. Each one is one call; the tags, URIs and numbers of the
first INVITE are kept in variables (`$remote`, `$local`, `$target`), for requests of the called side.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from faxgw.foip.message import Request, Response, parse
from tests.interop.peers import HOST, Listens, Peer
from tests.ports import free_ports

AUDIO: Final = (
    "v=0\no=sipp 5 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 19100 RTP/AVP 8 0\n"
    "a=rtpmap:8 PCMA/8000\n"
)
T38: Final = (
    "v=0\no=sipp 5 2 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=image 19102 udptl t38\n"
    "a=T38FaxVersion:0\na=T38MaxBitRate:14400\na=T38FaxRateManagement:transferredTCF\na=T38FaxUdpEC:t38UDPRedundancy\n"
)
BOTH: Final = AUDIO + T38[T38.index("m=image") :]
OURS: Final = "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>\n"
_LAST: Final = "[last_Via:]\n[last_From:]\n[last_To:]{tag}\n[last_Call-ID:]\n[last_CSeq:]\n"
_INVITE: Final = "Via: [$via]\nFrom: [$remote]\nTo: [$local]{tag}\nCall-ID: [call_id]\nCSeq: [$cseq]\n"


def recv(what: str | int, *actions: str, optional: bool = False, timeout: int = 0) -> str:
    """Expect a request or a status."""
    kind = f'response="{what}"' if isinstance(what, int) else f'request="{what}"'
    extra = ' optional="true"' * optional + f' timeout="{timeout}"' * bool(timeout)
    inner = f"<action>{''.join(actions)}</action>" if actions else ""
    return f"<recv {kind}{extra}>{inner}</recv>"


def has(pattern: str, header: str = "") -> str:
    """The message must match, in a header field or anywhere."""
    where = f'search_in="hdr" header="{header}:"' if header else 'search_in="msg"'
    return f'<ereg regexp="{pattern}" {where} check_it="true" assign_to="seen"/>'


def lacks(pattern: str) -> str:
    """The message must not match."""
    return f'<ereg regexp="{pattern}" search_in="msg" check_it_inverse="true" assign_to="seen"/>'


def keep(name: str, header: str) -> str:
    """Keep a header field's value as `$name`."""
    return f'<ereg regexp="[^ ].*" search_in="hdr" header="{header}:" assign_to="{name}"/>'


KEPT: Final = (keep("via", "Via"), keep("cseq", "CSeq"))
"""Actions on an INVITE that `reply` is to answer later."""


def invited(*actions: str) -> str:
    """Expect the first INVITE, and keep what the called side needs for requests of its own."""
    target = '<ereg regexp="sip:[^&gt;]*" search_in="hdr" header="Contact:" assign_to="target"/>'
    return recv("INVITE", keep("remote", "From"), keep("local", "To"), target, *KEPT, *actions)


def send(text: str, *, repeat: bool = False) -> str:
    """Send a message; `repeat` until it is answered."""
    head, blank, body = text.partition("\n\n")
    head = head.rstrip("\n") + "\nContent-Length: [len]\n"
    body = body if blank else ""
    retrans = ' retrans="500"' if repeat else ""
    return f"<send{retrans}><![CDATA[\n{head}\n{body}\n]]></send>"


def reply(
    status: str,
    *headers: str,
    sdp: str = "",
    tag: str = ";tag=sipp-[call_number]",
    repeat: bool = False,
    contact: str = OURS,
    via: str = "[$via]",
) -> str:
    """Answer the INVITE that was kept, whatever came since."""
    return _response(status, _INVITE.format(tag=tag).replace("[$via]", via) + contact, headers, sdp, repeat)


def again(status: str, *headers: str, sdp: str = "", tag: str = "", repeat: bool = False) -> str:
    """Answer the last request; inside the dialog its To has our tag already."""
    return _response(status, _LAST.format(tag=tag) + OURS, headers, sdp, repeat)


def _response(status: str, head: str, headers: Sequence[str], sdp: str, repeat: bool) -> str:
    fields = "".join(f"{header}\n" for header in headers)
    if sdp:
        fields += "Content-Type: application/sdp\n"
    return send(f"SIP/2.0 {status}\n{head}{fields}\n{sdp}", repeat=repeat)


def request(
    method: str,
    cseq: int,
    *headers: str,
    sdp: str = "",
    tag: str = ";tag=sipp-[call_number]",
    remote: str = "[$remote]",
    call_id: str = "[call_id]",
    branch: str = "[branch]",
    repeat: bool = False,
) -> str:
    """A request of the called side, inside the dialog unless it says otherwise."""
    fields = "".join(f"{header}\n" for header in headers)
    if sdp:
        fields += "Content-Type: application/sdp\n"
    return send(
        f"{method} [$target] SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}\n"
        f"Max-Forwards: 70\nFrom: [$local]{tag}\nTo: {remote}\nCall-ID: {call_id}\nCSeq: {cseq} {method}\n"
        f"{OURS}{fields}\n{sdp}",
        repeat=repeat,
    )


def calls(
    method: str,
    *headers: str,
    cseq: int = 1,
    sdp: str = "",
    to: str = "<sip:[service]@[remote_ip]:[remote_port]>",
    uri: str = "sip:[service]@[remote_ip]:[remote_port]",
    branch: str = "[branch]",
    repeat: bool = True,
) -> str:
    """A request of the calling side; `to` is `[$to]` inside the dialog."""
    fields = "".join(f"{header}\n" for header in headers)
    if sdp:
        fields += "Content-Type: application/sdp\n"
    return send(
        f"{method} {uri} SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch={branch}\n"
        f'Max-Forwards: 70\nFrom: "sipp" <sip:+33199000077@[local_ip]>;tag=caller-[call_number]\nTo: {to}\n'
        f"Call-ID: [call_id]\nCSeq: {cseq} {method}\n{OURS}{fields}\n{sdp}",
        repeat=repeat and method != "ACK",
    )


def pause(milliseconds: int) -> str:
    """Wait."""
    return f'<pause milliseconds="{milliseconds}"/>'


def take_bye() -> tuple[str, str]:
    """The other side ends the call."""
    return recv("BYE"), again("200 OK")


def scenario(steps: Sequence[str]) -> str:
    """The steps as XML."""
    body = "\n".join(steps)
    named = sorted(set(re.findall(r'assign_to="(\w+)"', body)) | set(re.findall(r"\[\$(\w+)\]", body)))
    reference = f'<Reference variables="{",".join(named)}"/>' if named else ""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="faxgw">\n{body}\n{reference}\n</scenario>\n'


@dataclass(frozen=True, slots=True)
class Seen:
    """One message of sipp's trace."""

    at: float
    """Seconds since midnight."""
    received: bool
    """By sipp, that is: sent by us."""
    octets: bytes

    @property
    def message(self) -> Request | Response:
        return parse(self.octets)

    @property
    def first_line(self) -> str:
        return self.octets.decode("ascii", "replace").partition("\r\n")[0]


class Sipp(Peer):
    """sipp playing one scenario.

    Args:
        folder: For the scenario and what sipp writes.
        steps: The scenario.
        target: Port of the other side, for a scenario that calls; 0: it is called.
        number: Whom to call.
        transport: `udp` or `tcp`.
        calls: How many calls it plays, then it ends.
        options: Further words of the command line.
        port: Its own; 0: a free one.
    """

    def __init__(
        self,
        folder: Path,
        steps: Sequence[str],
        *,
        target: int = 0,
        number: str = "",
        transport: str = "udp",
        calls: int = 1,
        options: Sequence[str] = (),
        port: int = 0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        free, self._control = free_ports(2)
        self.port = port or free
        self._trace = folder / "messages"
        self._errors = folder / "errors"
        (folder / "scenario.xml").write_text(scenario(steps))
        words = ["sipp", "-sf", "scenario.xml", "-i", HOST, "-p", str(self.port), "-ci", HOST]
        words += ["-cp", str(self._control), "-trace_err", "-error_file", "errors", "-timeout", "30s", "-timeout_error"]
        words += ["-t", {"udp": "u1", "tcp": "t1"}[transport], "-m", str(calls), "-nostdin", "-deadcall_wait", "0"]
        words += ["-default_behaviors", "none"]
        words += ["-skip_rlimit", "-recv_timeout", "6000"]
        if calls == 1:
            words += ["-trace_msg", "-message_file", "messages"]
        if number:
            words += ["-s", number]
        words += [*options, f"{HOST}:{target}"] if target else options
        signs = [] if target else [Listens(self.port, stream=transport == "tcp")]
        super().__init__(folder, words, signs)

    async def verdict(self, within: float = 45.0) -> str:
        """Empty when the scenario was played to its end as written; else why not."""
        status = await self.ended(within)
        if status == 0:
            return ""
        errors = self._errors.read_text(errors="replace") if self._errors.exists() else ""
        trace = "\n".join(f"{'us' if seen.received else 'sipp'}: {seen.first_line}" for seen in self.trace())
        return f"sipp ended with {status}\n{errors[-3000:]}\n{trace}"

    def trace(self) -> list[Seen]:
        """Every message, in order."""
        if not self._trace.exists():
            return []
        found: list[Seen] = []
        text = self._trace.read_bytes().decode("utf-8", "replace")
        for part in re.split(r"^-{20,}[^\n]*?(?=\d{4}-\d\d-\d\d)", text, flags=re.MULTILINE)[1:]:
            stamp, _, rest = part.partition("\n")
            kind, _, message = rest.partition("\n\n")
            hours, minutes, seconds = stamp.split()[-1].split(":")
            at = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            head, _, body = message.replace("\r\n", "\n").partition("\n\n")
            octets = f"{head}\n\n{body.rstrip()}\n".replace("\n", "\r\n").encode()
            found.append(Seen(at, "received" in kind, octets))
        return found

    def received(self, method: str) -> list[Request]:
        """The requests of ours of one method, each time they came."""
        messages = [seen.message for seen in self.trace() if seen.received]
        return [message for message in messages if isinstance(message, Request) and message.method == method]

    def answers(self, method: str) -> list[int]:
        """The statuses of ours to requests of one method."""
        messages = [seen.message for seen in self.trace() if seen.received]
        return [
            message.status
            for message in messages
            if isinstance(message, Response) and (message.headers.get("CSeq") or "").endswith(method)
        ]
