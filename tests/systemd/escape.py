"""A program that tries to get out of where it runs, and says what came of each try: `escape.py FACTS`.

FACTS is a JSON object: `tcp`, `udp` (ports of the gateway on 127.0.0.1), `canary` (a file in its store), `pid` (of the
gateway), `sockets` (paths of Unix sockets that are not for this program). An answer is "" for a try that succeeded,
else the name of the error. Only the standard library is used: the program stands for an attacker's code.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
_PTRACE_ATTACH, _PTRACE_DETACH = 16, 17
_CLONE_NEWUSER, _CLONE_NEWNS, _CLONE_NEWNET = 0x10000000, 0x00020000, 0x40000000
_KEYCTL = {"x86_64": 250, "aarch64": 219}


def _call(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


def _tcp(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), 5).close()


def _udp(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"out", ("127.0.0.1", port))


def _unix(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)


def _raw() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


def _packet() -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


def _trace(pid: int) -> None:
    _call("ptrace", _PTRACE_ATTACH, pid, 0, 0)
    os.waitpid(pid, 0x40000000)  # __WALL
    _call("ptrace", _PTRACE_DETACH, pid, 0, 0)


def _in_child(work: Callable[[], None]) -> Callable[[], None]:
    """Do it in a child, for it cannot be undone."""

    def run() -> None:
        child = os.fork()
        if child == 0:
            try:
                work()
                os._exit(0)
            except OSError as exc:
                os._exit(exc.errno or 255)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != 0:
            raise OSError(status if status > 0 else errno.EPERM, "child")

    return run


def _mount() -> None:
    with tempfile.TemporaryDirectory() as folder:
        _call("mount", b"none", folder.encode(), b"tmpfs", 0, None)
        _call("umount2", folder.encode(), 0)


def _write(folder: str) -> Callable[[], None]:
    def run() -> None:
        path = Path(folder, f"faxgw-escape-{os.getpid()}")
        path.touch()
        path.unlink()

    return run


def _chmod_suid() -> None:
    with tempfile.NamedTemporaryFile() as file:
        os.chmod(file.name, 0o4755)


def _code() -> None:
    with mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC):
        pass


def _device() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.mknod(f"{folder}/null", 0o020666, os.makedev(1, 3))


def _key() -> None:
    _call("syscall", _KEYCTL[os.uname().machine], 0, -3, 0, 0, 0)  # KEYCTL_GET_KEYRING_ID of the session


def tries(facts: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """What is tried, by name."""
    pid = facts["pid"]
    found: dict[str, Callable[[], object]] = {
        "tcp": lambda: _tcp(facts["tcp"]),
        "udp": lambda: _udp(facts["udp"]),
        "raw socket": _raw,
        "packet socket": _packet,
        "store": lambda: Path(facts["canary"]).read_text(),
        "store by the gateway's root": lambda: Path(f"/proc/{pid}/root{facts['canary']}").read_text(),
        "gateway's environment": lambda: Path(f"/proc/{pid}/environ").read_bytes(),
        "gateway's memory": lambda: Path(f"/proc/{pid}/mem").open("rb").close(),
        "gateway's command line": lambda: Path(f"/proc/{pid}/cmdline").read_bytes(),
        "ptrace": lambda: _trace(pid),
        "signal": lambda: os.kill(pid, 0),
        "descriptor": lambda: os.listdir(f"/proc/{pid}/fd"),
        "write /etc": _write("/etc"),
        "write /usr": _write("/usr"),
        "write /": _write("/"),
        "write /opt/faxgw": _write("/opt/faxgw"),
        "write /dev/shm of the machine": _write("/proc/1/root/dev/shm"),
        "read /etc/shadow": lambda: Path("/etc/shadow").read_text(),
        "mount": _mount,
        "user namespace": _in_child(lambda: _call("unshare", _CLONE_NEWUSER)),
        "mount namespace": _in_child(lambda: _call("unshare", _CLONE_NEWNS)),
        "network namespace": _in_child(lambda: _call("unshare", _CLONE_NEWNET)),
        "setuid": _in_child(lambda: os.setresuid(0, 0, 0) if os.getuid() else os.setresuid(1, 1, 1)),
        "chroot": _in_child(lambda: os.chroot("/usr")),
        "device": _device,
        "setuid file": _chmod_suid,
        "writable code": _code,
        "keyring": _key,
        "host name": _in_child(lambda: socket.sethostname(socket.gethostname())),
        "clock": lambda: time.clock_settime(time.CLOCK_MONOTONIC, 1.0),  # which nobody may: EINVAL if asked at all
    }
    for path in facts["sockets"]:
        found[f"socket {Path(path).name}"] = lambda path=path: _unix(path)  # type: ignore[misc]
    return found


def main() -> None:
    """Try everything and print what came of it."""
    found = {}
    for name, attempt in tries(json.loads(sys.argv[1])).items():
        try:
            attempt()
            found[name] = ""
        except OSError as exc:
            found[name] = errno.errorcode.get(exc.errno or 0, type(exc).__name__)
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
