"""The filter that every document's process puts on: what it leaves, and what it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from faxgw.document import seccomp

PROGRAM = """
import ctypes, json, mmap, os, resource, signal, socket, sys, threading
from faxgw.document import seccomp

left, right = socket.socketpair()
memory = os.memfd_create("result")
if sys.argv[1] == "filtered":
    seccomp.load(seccomp.child_program())
libc = ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)

tries = {
    "socket": lambda: socket.socket(socket.AF_UNIX).close(),
    "connect": lambda: left.connect("/tmp/nothing"),
    "write": lambda: os.close(os.open("/dev/null", os.O_WRONLY)),
    "create": lambda: os.close(os.open("/tmp", os.O_TMPFILE | os.O_RDWR)),
    "exec": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "fork": lambda: os.fork() or os._exit(0),
    "thread": lambda: threading.Thread(target=int).start(),
    "ptrace": lambda: call("ptrace", 16, 1 << 30, 0, 0),  # to attach to nobody
    "kill": lambda: os.kill(os.getpid(), 0),
    "writable code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close(),
    "prctl": lambda: call("prctl", 15, b"renamed", 0, 0),
    "chmod": lambda: os.fchmod(memory, 0o600),
    "unlink": lambda: os.unlink("/tmp/is-not-there-at-all"),
}
found = {}
for name, attempt in tries.items():
    try:
        attempt()
        found[name] = ""
    except (OSError, RuntimeError) as exc:
        found[name] = str(getattr(exc, "errno", exc))
os.write(memory, b"result")
left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, memory.to_bytes(4, "little"))])
found["answer"] = right.recv(1).decode()
found["reads"] = open("/etc/ld.so.cache", "rb").read(4).decode()
resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
print(json.dumps(found))
"""


def run(*arguments: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


FORBIDDEN = (
    "socket",
    "connect",
    "write",
    "create",
    "exec",
    "ptrace",
    "kill",
    "writable code",
    "prctl",
    "chmod",
    "unlink",
)


def test_a_filtered_process_computes_and_answers_and_nothing_else() -> None:
    """docs/systemd.md, "What a document's process may do"."""
    found = run("filtered")
    assert {name: found[name] for name in FORBIDDEN} == dict.fromkeys(FORBIDDEN, "1")  # EPERM
    assert found["fork"] == "1"
    assert found["thread"] == ""  # it has the same filter; Pango and GLib need one
    assert (found["answer"], found["reads"]) == ("x", "glib")


def test_without_the_filter_the_same_program_may_do_most_of_it() -> None:
    """The test above can fail."""
    found = run("not")
    allowed = (
        "socket",
        "write",
        "create",
        "exec",
        "fork",
        "thread",
        "kill",
        "writable code",
        "prctl",
        "chmod",
    )
    assert {name: found[name] for name in allowed} == dict.fromkeys(allowed, "")
    assert found["ptrace"] == "3"  # ESRCH
    assert found["connect"] == found["unlink"] == "2"  # ENOENT: it was looked for


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "LIBRARY", "libseccomp.so.99")
    seccomp._library.cache_clear()
    try:
        with pytest.raises(seccomp.NoSeccomp, match="Debian package libseccomp2"):
            seccomp.Rules(seccomp.ALLOW)
    finally:
        seccomp._library.cache_clear()


def test_a_broken_filter_is_not_taken() -> None:
    child = os.fork()
    if child == 0:
        try:
            seccomp.load(b"\0" * 8)
        except seccomp.NoSeccomp:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


OFFICE = """
import json, mmap, os, socket, threading
from faxgw.document import seccomp
listener = socket.socket(socket.AF_UNIX)
seccomp.load(seccomp.office_program())
tries = {
    "internet": lambda: socket.socket(socket.AF_INET).close(),
    "connect": lambda: socket.socket(socket.AF_UNIX).connect("/tmp/nothing"),
    "fork": lambda: os.fork() or os._exit(0),
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "kill": lambda: os.kill(os.getpid(), 0),
    "writable code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close(),
    "thread": lambda: threading.Thread(target=int).start(),
    "unix": lambda: socket.socket(socket.AF_UNIX).close(),
}
found = {}
for name, attempt in tries.items():
    try:
        attempt()
        found[name] = True
    except OSError:
        found[name] = False
print(json.dumps(found))
"""


def test_libreoffice_has_threads_and_its_socket_and_nothing_beyond() -> None:
    done = subprocess.run([sys.executable, "-c", OFFICE], capture_output=True, text=True, check=True, timeout=30)
    found = json.loads(done.stdout)
    assert {name for name, worked in found.items() if worked} == {"thread", "unix"}
