"""Runs a command as a unit file says, where systemd is not process 1: `launcher.py UNIT [OPTIONS] [-- COMMAND …]`.

The directives are read from the unit file itself and applied as systemd 252 does (systemd.exec(5), its sources
src/core/execute.c and src/shared/seccomp-util.c): system call filter, namespaces, mounts, user, capabilities, limits,
memory. A directive that is neither applied nor listed in `NOT_OURS` with its reason is an error, so that none is
overlooked. Needs root. Without COMMAND the unit's own ExecStart runs, its program taken from the checkout.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import resource
import shlex
import shutil
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from faxgw.document import seccomp
from faxgw.document.seccomp import ALLOW, Argument, Compare, Rules, refuse
from tests.systemd.unit import Service, allowed_calls, system_calls

CHECKOUT = Path(__file__).resolve().parents[2]
USERS = {"faxgw": 64_123, "faxgw-pages": 64_124}
"""The units' users and the ids they have here; the machine need not know them."""

NOT_OURS = {
    "Type": "the manager's protocol; tests/test_sdnotify.py",
    "ExecStart": "the command line",
    "ExecReload": "the manager's",
    "WatchdogSec": "the manager's; --notify hands it over",
    "TimeoutStartSec": "the manager's",
    "TimeoutStopSec": "the manager's",
    "KillMode": "the manager's",
    "Restart": "the manager's",
    "RestartSec": "the manager's",
    "RestartPreventExitStatus": "the manager's",
    "OOMPolicy": "what the manager does after the kernel has killed",
    "MemoryHigh": "slows down before MemoryMax, which is applied",
    "MemorySwapMax": "the machine of the tests has no swap",
    "CPUWeight": "a share, no confinement",
    "RemoveIPC": "cleans up after the service",
    "DevicePolicy": "a program in the cgroup; PrivateDevices is applied",
    "IPAddressDeny": "a program in the cgroup; PrivateNetwork is applied",
    "StateDirectoryMode": "applied with StateDirectory",
    "Group": "applied with User",
    "MountAPIVFS": "applied with TemporaryFileSystem",
    "PrivateMounts": "there is always a mount namespace",
}
"""Directives that the launcher leaves to a real manager, and why."""

_NEW = {"mount": 0x00020000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000, "user": 0x10000000}
_NEW |= {"pid": 0x20000000, "net": 0x40000000, "time": 0x00000080}
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _PRIVATE, _DETACH = 1, 2, 4, 32, 4096, 16384, 1 << 18, 2
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _ATTR_RDONLY = 442, -100, 0x8000, 1
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, _PR_SET_SECUREBITS = 24, 47, 4, 28
_PR_SET_PDEATHSIG = 1
_SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
_FAMILY_LIMIT = 46
"""Address families are numbered below it."""


class _Attributes(ctypes.Structure):
    """struct mount_attr."""

    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns", ctypes.c_uint64),
    )


_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str | Path, target: str | Path, kind: str = "none", flags: int = 0, data: str = "") -> None:
    words = [os.fsencode(word) for word in (source, target, kind)]
    _check(_libc.mount(*words, ctypes.c_ulong(flags), os.fsencode(data)), f"mount {target}")


def _bind(source: str | Path, target: str | Path) -> None:
    """Bind a file or folder upon a target that is made if it is not there."""
    source, target = Path(source), Path(target)
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(source, target, flags=_BIND | _REC)


def _set_read_only(path: str | Path, read_only: bool) -> None:
    attributes = _Attributes(set=_ATTR_RDONLY) if read_only else _Attributes(clear=_ATTR_RDONLY)
    result = _libc.syscall(
        _SYS_MOUNT_SETATTR,
        _AT_FDCWD,
        os.fsencode(path),
        _AT_RECURSIVE,
        ctypes.byref(attributes),
        ctypes.sizeof(attributes),
    )
    _check(result, f"mount_setattr {path}")


def _size(text: str) -> int:
    return int(text[:-1]) * _SIZES[text[-1]] if text[-1] in _SIZES else int(text)


# Filters: one each, as systemd does; the kernel asks all of them. ------------------------------------------------


def _denying(rules: Sequence[tuple[str, Sequence[Argument]]], number: int = errno.EPERM) -> bytes:
    made = Rules(ALLOW)
    for name, conditions in rules:
        made.add(refuse(number), name, *conditions)
    return made.program()


def _masked(index: int, mask: int, value: int) -> list[Argument]:
    return [Argument(index, Compare.MASKED_EQUAL, mask, value)]


def _families(service: Service) -> bytes:
    allowed = {_FAMILIES[word] for word in service.words("RestrictAddressFamilies") if word != "none"}
    denied = [("socket", [Argument(0, Compare.EQUAL, n)]) for n in range(_FAMILY_LIMIT) if n not in allowed]
    denied.append(("socket", [Argument(0, Compare.GREATER, _FAMILY_LIMIT - 1)]))
    return _denying(denied, errno.EAFNOSUPPORT)


def _memory(_service: Service) -> bytes:
    both = 2 | 4  # PROT_WRITE, PROT_EXEC
    rules = [("mmap", _masked(2, both, both)), ("mprotect", _masked(2, 4, 4)), ("pkey_mprotect", _masked(2, 4, 4))]
    return _denying([*rules, ("shmat", _masked(2, 0o100000, 0o100000))])  # SHM_EXEC


def _namespaces(_service: Service) -> bytes:
    rules: list[tuple[str, Sequence[Argument]]] = [("setns", [Argument(1, Compare.EQUAL, 0)])]
    for flag in _NEW.values():
        rules += [("unshare", _masked(0, flag, flag)), ("clone", _masked(0, flag, flag))]
        rules.append(("setns", _masked(1, flag, flag)))
    made = Rules(ALLOW)
    for name, conditions in rules:
        made.add(refuse(errno.EPERM), name, *conditions)
    made.add(refuse(errno.ENOSYS), "clone3")  # its flags lie in memory, where no filter looks
    return made.program()


def _realtime(_service: Service) -> bytes:
    harmless = {0, 3, 5}  # SCHED_OTHER, BATCH, IDLE
    return _denying([("sched_setscheduler", [Argument(1, Compare.EQUAL, n)]) for n in range(8) if n not in harmless])


def _suid(_service: Service) -> bytes:
    made = Rules(ALLOW)
    places = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "mkdir": 1, "mkdirat": 2, "mknod": 1, "mknodat": 2, "creat": 1}
    for bit in (stat.S_ISUID, stat.S_ISGID):
        for name, index in places.items():
            made.add(refuse(errno.EPERM), name, *_masked(index, bit, bit))
        for name, flags in (("open", 1), ("openat", 2)):
            making = _masked(flags, os.O_CREAT, os.O_CREAT)
            made.add(refuse(errno.EPERM), name, *making, *_masked(flags + 1, bit, bit))
    made.add(refuse(errno.ENOSYS), "openat2")
    return made.program()


def _calls(service: Service) -> bytes:
    made = Rules(refuse(errno.EPERM))
    for name in sorted(allowed_calls(service)):
        made.add(ALLOW, name)
    return made.program()


def _all_of(*names: str) -> Callable[[Service], bytes]:
    return lambda service: _denying([(call, ()) for name in names for call in sorted(system_calls(name))])


FILTERS: dict[str, Callable[[Service], bytes]] = {
    "RestrictAddressFamilies": _families,
    "MemoryDenyWriteExecute": _memory,
    "RestrictRealtime": _realtime,
    "RestrictSUIDSGID": _suid,
    "RestrictNamespaces": _namespaces,
    "ProtectHostname": _all_of("sethostname", "setdomainname"),
    "ProtectClock": _all_of("@clock"),
    "ProtectKernelModules": _all_of("@module"),
    "ProtectKernelLogs": _all_of("syslog"),
    "PrivateDevices": _all_of("@raw-io"),
    "LockPersonality": lambda service: _denying([("personality", [Argument(0, Compare.NOT_EQUAL, 0)])]),
    "SystemCallFilter": _calls,
}
"""Directives that put on a system call filter (some do other things too), in systemd's order."""

OTHERS = {
    "Environment", "UMask", "WorkingDirectory", "User", "StateDirectory", "TasksMax", "MemoryMax", "LimitNOFILE",
    "LimitCORE", "CapabilityBoundingSet", "AmbientCapabilities", "NoNewPrivileges", "PrivateUsers", "ProtectSystem",
    "ProtectHome", "PrivateTmp", "ProtectProc", "ProcSubset", "ProtectKernelTunables", "ProtectControlGroups",
    "InaccessiblePaths", "PrivateNetwork", "PrivateIPC", "TemporaryFileSystem", "BindReadOnlyPaths",
    "SystemCallArchitectures", "SystemCallErrorNumber",
}  # fmt: skip
"""Directives applied by `Confinement`. Of the last two: libseccomp's filters are native, EPERM is what we return."""


def overlooked(service: Service) -> set[str]:
    """Directives that nobody here knows."""
    return set(service.directives) - set(FILTERS) - OTHERS - set(NOT_OURS)


def mounts_on_root_twice(service: Service) -> bool:
    """Whether two directives mount on /: systemd 252 keeps one and says nothing (seen with a real one)."""
    empty = any(word.partition(":")[0] == "/" for word in service.words("TemporaryFileSystem"))
    return empty and (service.one("ProtectSystem", "no") != "no" or service.yes("DynamicUser"))


# The rest ----------------------------------------------------------------------------------------------------------


class Confinement:
    """What a unit's process is put into, in the order in which systemd does it.

    Args:
        service: The unit.
        state: Folder that stands for /var/lib/faxgw.
        run: Folder that stands for /run/faxgw.
        scratch: An empty folder for what is mounted elsewhere; removed by its owner.
    """

    def __init__(self, service: Service, state: Path | None, run: Path | None, scratch: Path) -> None:
        self.service = service
        self._scratch = scratch
        self.user = USERS[service.one("User")]
        self.filters = [make(service) for name, make in FILTERS.items() if service.one(name, "no") != "no"]
        self._state = state
        self._run = run

    def prepare(self, parent: Callable[[int], None]) -> None:
        """Everything up to exec, in the process that will be the service. `parent` maps its users from outside."""
        service = self.service
        self._limit()
        flags = _NEW["mount"]
        flags |= _NEW["net"] if service.yes("PrivateNetwork") else 0
        flags |= _NEW["ipc"] if service.yes("PrivateIPC") else 0
        flags |= _NEW["uts"] if service.yes("ProtectHostname") else 0
        _check(_libc.unshare(flags), "unshare")
        _mount("none", "/", flags=_REC | _PRIVATE)
        self._set_up_machine()
        if service.words("TemporaryFileSystem"):
            assert not mounts_on_root_twice(service), "systemd would leave the empty root out"
            self._build_root()
        else:
            self._protect_root()
        if service.yes("PrivateUsers"):
            _check(_libc.unshare(_NEW["user"]), "unshare users")
            parent(os.getpid())
        self._become_user()
        os.umask(int(service.one("UMask", "022"), 8))
        os.chdir(service.one("WorkingDirectory", "/"))
        for program in self.filters:
            seccomp.load(program)

    def _folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._scratch))

    def _limit(self) -> None:
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = min(hard, int(self.service.one("LimitNOFILE", "1024")))  # raising it takes CAP_SYS_RESOURCE
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, 1024), files))
        core = int(self.service.one("LimitCORE", "0"))
        resource.setrlimit(resource.RLIMIT_CORE, (core, core))

    def _set_up_machine(self) -> None:
        """What a machine with faxgw has: /opt/faxgw, its users, its folders; on file systems of our own."""
        for folder in ("/opt", "/run", "/var/lib"):
            source = self._folder()
            if folder == "/opt":
                _bind(CHECKOUT, Path(source, "faxgw"))
            _mount(source, folder, flags=_BIND | _REC)
            Path(folder).chmod(0o755)
        users = "".join(f"{name}:x:{uid}:{uid}::/var/lib/faxgw:/usr/sbin/nologin\n" for name, uid in USERS.items())
        passwd = Path(self._folder(), "passwd")
        passwd.write_text(Path("/etc/passwd").read_text() + users)
        passwd.parent.chmod(0o755)
        passwd.chmod(0o644)
        _mount(passwd, "/etc/passwd", flags=_BIND)
        if self._state is not None:
            _bind(self._state, "/var/lib/faxgw")
        if self._run is not None:
            _bind(self._run, "/run/faxgw")

    def _protect_root(self) -> None:
        """ProtectSystem=strict and its like on the machine's own root."""
        service = self.service
        assert service.one("ProtectSystem") == "strict"
        self._mount_proc(Path("/proc"))
        self._make_devices(Path("/dev"))
        self._own_tmp(Path("/"))
        if service.yes("ProtectHome"):
            for home in ("/home", "/root", "/run/user"):
                self._hide(Path(home))
        self._hide_named(Path("/"))
        folders = [Path("/var/lib", name) for name in service.words("StateDirectory")]
        for folder in folders:
            _mount(folder, folder, flags=_BIND)
            os.chown(folder, self.user, self.user)
            folder.chmod(int(service.one("StateDirectoryMode", "0755"), 8))
        _set_read_only("/", True)
        for folder in (*map(Path, ("/proc", "/dev", "/tmp", "/var/tmp")), *folders):
            _set_read_only(folder, False)

    def _build_root(self) -> None:
        """TemporaryFileSystem=/ with BindReadOnlyPaths=: an empty root with what is named in it."""
        service = self.service
        assert service.words("TemporaryFileSystem") == ["/:ro"]
        root = self._folder()
        _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "mode=0755")
        for word in service.words("BindReadOnlyPaths"):
            source = Path(word.lstrip("-"))
            if not source.exists():
                if not word.startswith("-"):
                    raise FileNotFoundError(source)
                continue
            _bind(source, root / source.relative_to("/"))
        for name in ("proc", "sys", "dev", "tmp", "var/tmp", "root", "home"):
            (root / name).mkdir(parents=True, exist_ok=True)
        _mount("/sys", root / "sys", flags=_BIND | _REC)
        _set_read_only(root, True)
        self._mount_proc(root / "proc")
        self._make_devices(root / "dev")
        self._own_tmp(root)
        self._hide_named(root)
        os.chdir(root)
        number = _SYS_PIVOT_ROOT[os.uname().machine]
        _check(_libc.syscall(number, b".", b"."), "pivot_root")
        _check(_libc.umount2(b".", _DETACH), "umount")
        os.chdir("/")

    def _mount_proc(self, target: Path) -> None:
        data = "hidepid=invisible" if self.service.one("ProtectProc") == "invisible" else ""
        data += ",subset=pid" if self.service.one("ProcSubset") == "pid" else ""
        _mount("proc", target, "proc", _NOSUID | _NODEV, data.lstrip(","))

    def _make_devices(self, target: Path) -> None:
        """PrivateDevices=: the harmless ones."""
        folder = self._folder()
        _mount("tmpfs", folder, "tmpfs", _NOSUID, "mode=0755")
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            _bind(f"/dev/{name}", folder / name)
        for name, source in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
            (folder / name).symlink_to(source)
        (folder / "shm").mkdir()
        _mount("tmpfs", folder / "shm", "tmpfs", _NOSUID | _NODEV, "mode=1777")
        _mount(folder, target, flags=_BIND | _REC)

    def _own_tmp(self, root: Path) -> None:
        if self.service.yes("PrivateTmp"):
            for name in ("tmp", "var/tmp"):
                _mount("tmpfs", root / name, "tmpfs", _NOSUID | _NODEV, "mode=1777")

    def _hide_named(self, root: Path) -> None:
        for word in self.service.words("InaccessiblePaths"):
            self._hide(root / Path(word.lstrip("-")).relative_to("/"))
        if self.service.yes("ProtectKernelModules"):
            self._hide(root / "usr/lib/modules")

    def _hide(self, path: Path) -> None:
        if path.is_dir():
            _mount("tmpfs", path, "tmpfs", _RDONLY | _NOSUID | _NODEV, "mode=000,size=4k")

    def _become_user(self) -> None:
        """No group, no capability, the unit's user."""
        kept = self.service.words("CapabilityBoundingSet") + self.service.words("AmbientCapabilities")
        assert not kept, f"capabilities {kept} are not known here"
        for number in range(64):
            if _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
                break  # the kernel knows no more of them
        _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "ambient capabilities")
        os.setgroups([])
        os.setresgid(self.user, self.user, self.user)
        os.setresuid(self.user, self.user, self.user)


class Cgroup:
    """MemoryMax= and TasksMax=, in cgroups of version 1 or 2, as far as this machine has them and lets us."""

    def __init__(self, service: Service) -> None:
        self.applied: dict[str, Path] = {}
        rules = {"MemoryMax": ("memory", "memory.max", "memory.limit_in_bytes"), "TasksMax": ("pids", "pids.max", "")}
        for directive, (controller, name, old) in rules.items():
            value = service.one(directive)
            for place, key in self._places(controller, name, old or name):
                folder = place / f"faxgw-launcher-{os.getpid()}"
                try:
                    folder.mkdir(exist_ok=True)
                    (folder / key).write_text(str(_size(value)))
                    self.applied[directive] = folder
                    break
                except OSError:
                    self._remove(folder)

    @staticmethod
    def _places(controller: str, name: str, old: str) -> list[tuple[Path, str]]:
        root, places = Path("/sys/fs/cgroup"), []
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _number, names, path = line.split(":", 2)
            if names == "":
                places.append((root / path.lstrip("/"), name))
            elif controller in names.split(","):
                places.append((root / names / path.lstrip("/"), old))
        return places

    def enter(self) -> None:
        """Move this process in."""
        for folder in set(self.applied.values()):
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def close(self) -> None:
        """Remove what was made; everything in it has ended."""
        for folder in set(self.applied.values()):
            self._remove(folder)

    @staticmethod
    def _remove(folder: Path) -> None:
        if folder.is_dir():
            try:
                folder.rmdir()
            except OSError as exc:
                print(f"launcher: {folder}: {exc}", file=sys.stderr)  # noqa: T201


def command_of(service: Service) -> list[str]:
    """The unit's ExecStart. The scripts of a checkout name the checkout's own place: they run as the module."""
    words = shlex.split(service.one("ExecStart"))
    assert words[0] == "/opt/faxgw/.venv/bin/faxgw"
    return ["/opt/faxgw/.venv/bin/python", "-m", "faxgw", *words[1:]]


def environment(service: Service) -> dict[str, str]:
    """What the unit's process sees."""
    made = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/var/lib/faxgw"}
    made |= {"PYTHONPATH": "/opt/faxgw", "PYTHONDONTWRITEBYTECODE": "1", "USER": service.one("User")}
    made |= {name: os.environ[name] for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC") if name in os.environ}
    made |= dict(word.split("=", 1) for word in service.words("Environment"))
    return made


def _child(confinement: Confinement, cgroup: Cgroup, command: Sequence[str], listener: int | None) -> NoReturn:
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        environ = environment(confinement.service)
        cgroup.enter()
        confinement.prepare(_wait_for_map)
        if listener is not None:
            os.dup2(listener, 3)
            environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
        os.execve(command[0], list(command), environ)
    except BaseException as exc:  # noqa: BLE001 - nothing may return into the launcher
        os.write(2, f"launcher: {type(exc).__name__}: {exc}\n".encode())
    os._exit(127)


_asks, _answers = socket.socketpair()
"""Between the process that becomes the service and the one that stays outside and maps its users."""


def _wait_for_map(_pid: int) -> None:
    _asks.send(b"?")
    _asks.recv(1)


def _map_users(pid: int, user: int) -> None:
    """PrivateUsers=: root and the unit's own user exist, everybody else is nobody."""
    _answers.settimeout(60)
    if _answers.recv(1) == b"?":
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{name}").write_text(f"0 0 1\n{user} {user} 1\n")
        _answers.send(b"!")


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser()
    parser.add_argument("unit", type=Path)
    parser.add_argument("--state", type=Path, help="folder that stands for /var/lib/faxgw")
    parser.add_argument("--run", type=Path, help="folder that stands for /run/faxgw")
    parser.add_argument("--listener", type=int, help="listening socket of the socket unit")
    words, command = sys.argv[1:], []
    if "--" in words:
        words, command = words[: words.index("--")], words[words.index("--") + 1 :]
    options = parser.parse_args(words)
    service = Service(options.unit)
    if unknown := overlooked(service):
        sys.exit(f"launcher: {', '.join(sorted(unknown))}: not known; apply them, or say in NOT_OURS why not")
    scratch = Path(tempfile.mkdtemp(prefix="faxgw-launcher-", dir="/dev/shm"))
    confinement = Confinement(service, options.state, options.run, scratch)
    cgroup = Cgroup(service)
    command = command or command_of(service)
    child = os.fork()
    if child == 0:
        _answers.close()
        _child(confinement, cgroup, command, options.listener)
    _asks.close()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda n, _frame: os.kill(child, n))
    if service.yes("PrivateUsers"):
        _map_users(child, confinement.user)
    _pid, status = os.waitpid(child, 0)
    cgroup.close()
    shutil.rmtree(scratch)  # what was mounted in it was mounted in the other's namespace
    return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(main())
