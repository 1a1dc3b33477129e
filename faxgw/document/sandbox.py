"""How the page processes are shut off: no network, no folder of ours, no privilege (reliability rule 8).

The page server is started through a launcher that makes its namespaces: bubblewrap (Debian package `bubblewrap`), or,
where bubblewrap does not work and we are root, this very module (`python -m faxgw.document.sandbox PROGRAM …`), which
does the same with unshare(2), mount(2) and pivot_root(2). Inside there are, read-only, /usr with the libraries, fonts,
the Python environment and the faxgw package; a private /tmp; and the descriptors that were handed over. Nothing else.

Whether a launcher works is found out by running it (`choose`, `probe`), because kernels and containers forbid
namespaces in many ways.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from faxgw.document.types import Sandbox

PROBE_SECONDS = 15.0
"""Seconds that a launcher may take to run one trivial program."""
NOBODY = 65534
"""User and group inside: owns nothing."""

_LIBRARIES = ("/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin")
_ETC = ("/etc/fonts", "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/libreoffice")
TEMPORARY = 512 * 1024 * 1024
"""Octets of the private /tmp: profiles, documents and PDF of LibreOffice; nobody else writes there."""

# linux/sched.h, sys/mount.h, linux/prctl.h
_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
_CLONE_NEWPID, _CLONE_NEWNET = 0x20000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND = 1, 2, 4, 32, 4096
_MS_REC, _MS_PRIVATE = 16384, 1 << 18
_MNT_DETACH = 2
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SIGKILL = 9


class NoSandbox(Exception):
    """No launcher works here; the text says which were tried and why each failed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A launcher that was seen working."""

    kind: Sandbox
    """BUBBLEWRAP, UNSHARE or NONE."""
    prefix: tuple[str, ...] = ()
    """Words before the program."""

    @property
    def isolated(self) -> bool:
        """False when nothing is shut off."""
        return self.kind is not Sandbox.NONE

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The words that run Python with `arguments` inside."""
        return [*self.prefix, sys.executable, "-P", "-B", *arguments]


@dataclass(frozen=True, slots=True)
class Probe:
    """What `faxgw check` says about the sandbox."""

    ok: bool
    detail: str
    """One sentence."""


def environment() -> dict[str, str]:
    """The environment inside: nothing of ours but where the package lies; one thread per numerical library; objects
    in one piece of memory (`document.memory`).
    """
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(_package().parent),
        "PYTHONMALLOC": "malloc",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_THREAD_LIMIT": "1",
    }


def choose(wanted: Sandbox) -> Plan:
    """Find the launcher to use by running it. Blocks for some 10 ms, at worst PROBE_SECONDS each.

    Raises:
        NoSandbox: If the wanted one does not work (AUTO: none of them).
    """
    if wanted is Sandbox.NONE:
        return Plan(Sandbox.NONE)
    reasons = []
    for kind, prefix in _candidates():
        if wanted not in (Sandbox.AUTO, kind):
            continue
        plan = Plan(kind, prefix)
        fault = _try(plan)
        if fault is None:
            return plan
        reasons.append(f"{kind.value}: {fault}")
    if wanted in (Sandbox.AUTO, Sandbox.BUBBLEWRAP) and shutil.which("bwrap") is None:
        reasons.insert(0, "bubblewrap: bwrap is not installed")
    if wanted in (Sandbox.AUTO, Sandbox.UNSHARE) and os.geteuid() != 0:
        reasons.append("unshare: needs root")
    raise NoSandbox(
        "no sandbox for the page processes works here (" + "; ".join(reasons) + "). Install the package bubblewrap"
        ' or allow user namespaces; sandbox = "none" runs strangers\' documents with resource limits only.'
    )


def probe(wanted: Sandbox) -> Probe:
    """Say for `faxgw check` whether the page processes can be shut off as wanted."""
    try:
        plan = choose(wanted)
    except NoSandbox as exc:
        return Probe(False, str(exc))
    if not plan.isolated:
        return Probe(True, "page processes run without a sandbox, as the settings say: resource limits only")
    return Probe(True, f"page processes run under {plan.kind.value}: no network, no folder of the gateway")


def _candidates() -> list[tuple[Sandbox, tuple[str, ...]]]:
    found: list[tuple[Sandbox, tuple[str, ...]]] = []
    bwrap = shutil.which("bwrap")
    if bwrap is not None:
        nobody = ("--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY))
        for extra in ((*nobody, "--proc", "/proc"), nobody, ("--proc", "/proc"), ()):
            found.append((Sandbox.BUBBLEWRAP, (bwrap, *_bubblewrap(extra))))
    if os.geteuid() == 0:
        found.append((Sandbox.UNSHARE, (sys.executable, "-P", "-B", "-m", "faxgw.document.sandbox")))
    return found


def _bubblewrap(extra: Sequence[str]) -> list[str]:
    words = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", *extra]
    words += ["--dev", "/dev", "--size", str(TEMPORARY), "--tmpfs", "/tmp"]
    for path in _view():
        if _is_link(path):
            words += ["--symlink", str(path.readlink()), str(path)]
        else:
            words += ["--ro-bind", str(path), str(path)]
    return [*words, "--remount-ro", "/", "--chdir", "/"]


def _view() -> list[Path]:
    """What is visible inside, all of it read-only."""
    paths = [Path("/usr"), *map(Path, _LIBRARIES), *map(Path, _ETC)]
    for prefix in (Path(sys.base_prefix), Path(sys.prefix), _package()):
        if not any(prefix.is_relative_to(path) for path in paths):
            paths.append(prefix)
    return [path for path in paths if path.exists()]


def _is_link(path: Path) -> bool:
    """True for /lib and its like on a system where they are links into /usr."""
    return str(path) in _LIBRARIES and path.is_symlink()


def _package() -> Path:
    """The faxgw package's folder."""
    return Path(__file__).resolve().parent.parent


def _try(plan: Plan) -> str | None:
    """Run the launcher once; None when it works, else its complaint."""
    try:
        done = subprocess.run(
            plan.command(["-c", "import faxgw.document.types"]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            env=environment(),
            cwd="/",
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    if done.returncode == 0:
        return None
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else f"exit status {done.returncode}"


# The launcher of our own -------------------------------------------------------------------------------------------


class _Libc:
    """The system calls that the standard library lacks. Each raises OSError."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def unshare(self, flags: int) -> None:
        self._check(self._libc.unshare(flags), "unshare")

    def mount(self, source: str, target: str, kind: str, flags: int, data: str = "") -> None:
        words = [os.fsencode(word) for word in (source, target, kind)]
        self._check(self._libc.mount(*words, ctypes.c_ulong(flags), os.fsencode(data)), f"mount {target}")

    def umount(self, target: str) -> None:
        self._check(self._libc.umount2(os.fsencode(target), _MNT_DETACH), f"umount {target}")

    def pivot_root(self, new: str, old: str) -> None:
        number = _SYS_PIVOT_ROOT[os.uname().machine]
        self._check(self._libc.syscall(number, os.fsencode(new), os.fsencode(old)), "pivot_root")

    def prctl(self, option: int, value: int) -> None:
        self._check(self._libc.prctl(option, value, 0, 0, 0), "prctl")

    def _check(self, result: int, what: str) -> None:
        if result != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{what}: {os.strerror(number)}")


def prctl_child(signal_number: int = _SIGKILL) -> None:
    """Die with the parent, gain no privilege by exec. Called in a freshly started or forked process."""
    libc = _libc()
    libc.prctl(_PR_SET_PDEATHSIG, signal_number)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1)


@cache
def _libc() -> _Libc:
    """Found once, in the template: each forked child needs it."""
    return _Libc()


def launch(arguments: Sequence[str]) -> int:
    """Make the namespaces, run the program inside as nobody, return its exit status. Needs root.

    The program is process 1 of its namespace; it gets SIGKILL when this process ends.
    """
    libc = _Libc()
    libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    libc.unshare(_CLONE_NEWNS | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWPID | _CLONE_NEWNET)
    child = os.fork()
    if child == 0:
        try:
            _enter(libc)
            os.execv(arguments[0], list(arguments))
        except OSError as exc:
            os.write(2, f"{exc}\n".encode())
        finally:
            os._exit(127)
    _pid, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


def _enter(libc: _Libc) -> None:
    libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    libc.mount("none", "/", "none", _MS_REC | _MS_PRIVATE)
    _build_root(libc, Path("/tmp"))
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1)
    libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL)  # setresuid cleared it


def _build_root(libc: _Libc, root: Path) -> None:
    """Mount a new root upon `root` and move into it."""
    view = _view()
    opened = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in view if not _is_link(path)]
    libc.mount("tmpfs", str(root), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=1m")
    for path in view:
        if _is_link(path):
            (root / path.relative_to("/")).symlink_to(path.readlink())
    (root / "proc").mkdir()
    libc.mount("proc", str(root / "proc"), "proc", _MS_NOSUID | _MS_NODEV)
    (root / "tmp").mkdir()
    libc.mount("tmpfs", str(root / "tmp"), "tmpfs", _MS_NOSUID | _MS_NODEV, f"mode=1777,size={TEMPORARY}")
    for path, descriptor in opened:
        _bind(libc, f"/proc/self/fd/{descriptor}", root / path.relative_to("/"), path.is_dir())
        os.close(descriptor)
    for name in ("null", "zero", "random", "urandom"):
        _bind(libc, f"/dev/{name}", root / "dev" / name, False, devices=True)
    (root / ".old").mkdir()
    os.chdir(root)
    libc.pivot_root(".", ".old")
    os.chdir("/")
    libc.umount("/.old")
    Path("/.old").rmdir()
    libc.mount("none", "/", "none", _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def _bind(libc: _Libc, source: str, target: Path, folder: bool, devices: bool = False) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    libc.mount(source, str(target), "none", _MS_BIND | _MS_REC)
    flags = _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID
    libc.mount("none", str(target), "none", flags if devices else flags | _MS_NODEV)


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
