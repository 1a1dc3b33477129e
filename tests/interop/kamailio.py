"""Kamailio as a carrier: registrar with digest, and record-routing proxy between the line and a park of fax machines.

Calls to `RECEIVER` go to whoever has registered as `LOGIN`; all others go to the park once their credentials are right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.interop.peers import HOST, Authority, Listens, Peer
from tests.ports import free_ports

LOGIN, PASSWORD, REALM = "fax", "open sesame", "carrier.test"
RECEIVER: Final = "+33199000099"
GRANTED: Final = 6
"""Seconds a registration is granted for, whatever is asked."""
_MODULES: Final = (
    "kex tm tmx sl rr pv maxfwd textops textopsx siputils xlog usrloc registrar auth nathelper sdpops rtpengine tls"
)

_CONFIG: Final = """#!KAMAILIO
debug=1
log_stderror=yes
log_facility=LOG_LOCAL0
fork=yes
children=2
socket_workers=2
auto_aliases=no
dns=no
rev_dns=no
dns_try_naptr=no
use_dns_cache=off
server_header="Server: carrier"
user_agent_header="User-Agent: carrier"
listen=udp:{host}:{udp}
listen=tcp:{host}:{tcp}
{tls_listen}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
{modules}
modparam("usrloc", "db_mode", 0)
modparam("registrar|nathelper", "received_avp", "$avp(received)")
modparam("registrar", "max_expires", {granted})
modparam("registrar", "default_expires", {granted})
modparam("registrar", "method_filtering", 0)
modparam("auth", "nonce_expire", 60)
modparam("auth", "qop", "auth")
modparam("auth", "algorithm", "{algorithm}")
modparam("rr", "enable_full_lr", 1)
modparam("tm", "fr_timer", 5000)
{module_settings}

request_route {{
    xlog("L_ERR", "REQUEST $rm from $si:$sp over $proto seq $cs expires $hdr(Expires) totag $tt\\n");
    if (!mf_process_maxfwd_header("10")) {{
        sl_send_reply("483", "Too Many Hops");
        exit;
    }}
    force_rport();
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (has_totag()) {{
        if (loose_route()) {{
            xlog("L_ERR", "LOOSE $rm to $ru by $du\\n");
            route(MEDIA);
            t_on_reply("ANSWER");
            t_relay();
        }} else if (is_method("ACK")) {{
            if (t_check_trans()) t_relay();
        }} else {{
            sl_send_reply("404", "Not Here");
        }}
        exit;
    }}
    t_check_trans();
    if (is_method("OPTIONS")) {{
        sl_send_reply("200", "OK");
        exit;
    }}
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("{realm}", "{password}", "0") || $au != "{login}") {{
            if ($hdr(Authorization) != $null) xlog("L_ERR", "DENIED $rm\\n");
            www_challenge("{realm}", "1");
            exit;
        }}
        if ($proto != "udp") fix_nated_register();
        save("location");
        xlog("L_ERR", "SAVED expires $hdr(Expires)\\n");
        exit;
    }}
    if (!is_method("INVITE")) {{
        sl_send_reply("405", "Method Not Allowed");
        exit;
    }}
    if ($rU == "{receiver}") {{
        $rU = "{login}";
        if (!lookup("location")) {{
            sl_send_reply("480", "Not Registered");
            exit;
        }}
    }} else {{
        if (!pv_proxy_authenticate("{realm}", "{password}", "0")) {{
            proxy_challenge("{realm}", "1");
            exit;
        }}
        consume_credentials();
        $du = "sip:{host}:{park}";
    }}
    record_route();
    route(MEDIA);
    t_on_reply("ANSWER");
    t_relay();
}}

route[MEDIA] {{
    {media_offer}
    return;
}}

onreply_route[ANSWER] {{
    xlog("L_ERR", "REPLY $rs to $rm\\n");
    {media_answer}
}}
"""
_FLAGS: Final = "trust-address replace-origin ICE=remove T.38=decode"
"""What is offered as T.38 goes on as G.711, whichever side offers it."""
_OFFER: Final = f"""if (is_method("INVITE") && has_body("application/sdp")) rtpengine_offer("{_FLAGS}");
    if (is_method("BYE|CANCEL")) rtpengine_delete();"""
_ANSWER: Final = (
    f"""if (status =~ "(183)|(2[0-9][0-9])" && has_body("application/sdp")) rtpengine_answer("{_FLAGS}");"""
)


class Kamailio(Peer):
    """Kamailio, ready to be started (again).

    Args:
        folder: Its own.
        park: SIP port of the fax machines.
        authority: For TLS.
        algorithm: Of its digest: `MD5` or `SHA-256`.
        media: Control port of an rtpengine that turns T.38 into G.711; 0: media go directly.
    """

    def __init__(
        self, folder: Path, park: int, authority: Authority | None = None, algorithm: str = "MD5", media: int = 0
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.udp, self.tcp, self.tls = free_ports(3)
        settings, tls_listen = "", ""
        absent = set(["rtpengine"] * (not media) + ["tls"] * (authority is None))
        modules = [name for name in _MODULES.split() if name not in absent]
        if authority is not None:
            tls_listen = f"listen=tls:{HOST}:{self.tls}\nenable_tls=yes"
            settings += f'modparam("tls", "config", "{folder}/tls.cfg")\n'
            (folder / "tls.cfg").write_text(
                "[server:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n"
                f"private_key = {authority.key}\ncertificate = {authority.certificate}\n"
                "[client:default]\nmethod = TLSv1.2+\nverify_certificate = no\n"
            )
        if media:
            settings += f'modparam("rtpengine", "rtpengine_sock", "udp:{HOST}:{media}")\n'
        text = _CONFIG.format(
            host=HOST,
            udp=self.udp,
            tcp=self.tcp,
            tls_listen=tls_listen,
            modules="\n".join(f'loadmodule "{name}.so"' for name in modules),
            granted=GRANTED,
            algorithm=algorithm,
            module_settings=settings,
            realm=REALM,
            login=LOGIN,
            password=PASSWORD,
            receiver=RECEIVER,
            park=park,
            media_offer=_OFFER if media else "",
            media_answer=_ANSWER if media else "",
        )
        (folder / "kamailio.cfg").write_text(text)
        words = ["kamailio", "-f", str(folder / "kamailio.cfg"), "-DD", "-E", "-m", "32", "-M", "4"]
        words += ["-Y", str(folder), "-P", str(folder / "kamailio.pid"), "-w", str(folder)]
        signs = [Listens(self.udp), Listens(self.tcp, stream=True)]
        super().__init__(folder, words, [*signs, Listens(self.tls, stream=True)] if authority else signs)

    def told(self, *words: str) -> list[str]:
        """The lines of its log, oldest first, that have all the words."""
        return [
            line for line in self.log.read_text(errors="replace").splitlines() if all(word in line for word in words)
        ]
