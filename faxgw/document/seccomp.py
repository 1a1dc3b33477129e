"""System call filters (seccomp(2)) through libseccomp, and the one that every child of the page server puts on.

A filter is compiled once, in the template, and loaded after the fork: from then on the child computes, reads what is
open or may be read, writes into what is open, and answers through its socket. Whatever else it tries fails with
EPERM; it cannot take the filter off.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

LIBRARY = "libseccomp.so.2"
"""Debian package libseccomp2."""

ALLOW = 0x7FFF0000
"""SCMP_ACT_ALLOW."""
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_OCTETS_PER_INSTRUCTION = 8
_PROT_WRITE, _PROT_EXEC = 2, 4
_TCGETS, _FIONBIO, _FIOCLEX, _FIONCLEX = 0x5401, 0x5421, 0x5451, 0x5450
_FIONREAD = 0x541B
_PROCESS_ITSELF = 0
_THREAD = 0x00000100 | 0x00000800 | 0x00010000
"""CLONE_VM, CLONE_SIGHAND and CLONE_THREAD of linux/sched.h: what makes a thread and no process."""

CHILD_CALLS = (
    # reading and writing what is open
    "read", "readv", "pread64", "preadv", "write", "writev", "pwrite64", "pwritev", "lseek", "_llseek", "close",
    "close_range", "fstat", "fstat64", "fcntl", "fcntl64", "dup", "dup2", "dup3", "ftruncate", "ftruncate64",
    "fallocate", "fadvise64", "sendfile", "sendfile64", "copy_file_range", "memfd_create", "pipe2", "sendmsg",
    "recvmsg", "sendto", "recvfrom", "poll", "ppoll", "select", "pselect6",
    # looking for files
    "stat", "stat64", "lstat", "newfstatat", "fstatat64", "statx", "access", "faccessat", "faccessat2", "readlink",
    "readlinkat", "getdents64", "getcwd", "statfs", "fstatfs",
    # memory
    "munmap", "mremap", "madvise", "brk", "futex", "set_robust_list", "rseq", "membarrier",
    # who and when
    "getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getrandom", "uname", "sysinfo", "umask",
    "sched_yield", "sched_getaffinity", "getrlimit", "getrusage", "times", "time", "gettimeofday", "clock_gettime",
    "clock_getres", "clock_nanosleep", "nanosleep",
    # signals and the end
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "exit", "exit_group",
)  # fmt: skip
"""What a document's process may call without a condition."""


class NoSeccomp(Exception):
    """libseccomp is missing, or the kernel takes no filter."""


class Compare(IntEnum):
    """enum scmp_compare of seccomp.h."""

    NOT_EQUAL = 1
    EQUAL = 4
    GREATER = 6
    MASKED_EQUAL = 7


@dataclass(frozen=True, slots=True)
class Argument:
    """A condition on one argument of a system call."""

    index: int
    """0 to 5."""
    compare: Compare
    value: int
    """What it is compared with; the mask of MASKED_EQUAL."""
    masked: int = 0
    """What must be left under the mask."""


class _Compared(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refuse(number: int) -> int:
    """The action that makes a call fail with this errno (SCMP_ACT_ERRNO)."""
    return 0x00050000 | number


class Rules:
    """A filter being made.

    Args:
        default: What happens to a call that no rule names.

    Raises:
        NoSeccomp: If there is no libseccomp.
    """

    def __init__(self, default: int) -> None:
        self._library = _library()
        self._default = default
        self._context = self._library.seccomp_init(default)
        if not self._context:
            raise NoSeccomp("libseccomp makes no filter")

    def add(self, action: int, name: str, *conditions: Argument) -> None:
        """Add a rule; the rules of one call hold side by side. A call that this machine does not have is passed over.

        Raises:
            NoSeccomp: If libseccomp does not take it.
        """
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number < 0 or action == self._default:
            return
        compared = (_Compared * max(1, len(conditions)))(
            *(_Compared(c.index, c.compare, c.value, c.masked) for c in conditions)
        )
        fault = self._library.seccomp_rule_add_array(self._context, action, number, len(conditions), compared)
        if fault != 0:
            raise NoSeccomp(f"rule for {name}: {os.strerror(-fault)}")

    def program(self) -> bytes:
        """The filter as the kernel takes it."""
        file = os.memfd_create("filter", os.MFD_CLOEXEC)
        try:
            fault = self._library.seccomp_export_bpf(self._context, file)
            if fault != 0:
                raise NoSeccomp(f"filter not compiled: {os.strerror(-fault)}")
            return os.pread(file, os.fstat(file).st_size, 0)
        finally:
            os.close(file)

    def __del__(self) -> None:
        if getattr(self, "_context", None):
            self._library.seccomp_release(self._context)


def load(program: bytes) -> None:
    """Put a filter on this process, for ever; gain no privilege by exec from now on.

    Raises:
        NoSeccomp: If the kernel does not take it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    octets = ctypes.create_string_buffer(program, len(program))
    given = _Program(len(program) // _OCTETS_PER_INSTRUCTION, ctypes.addressof(octets))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or (
        libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(given), 0, 0) != 0
    ):
        raise NoSeccomp(f"the kernel takes no filter: {os.strerror(ctypes.get_errno())}")


@cache
def child_program() -> bytes:
    """The filter of a document's process.

    Raises:
        NoSeccomp: If there is no libseccomp.
    """
    rules = Rules(refuse(errno.EPERM))
    for name in CHILD_CALLS:
        rules.add(ALLOW, name)
    for name, flags in (("open", 1), ("openat", 2)):
        writing = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
        rules.add(ALLOW, name, Argument(flags, Compare.MASKED_EQUAL, writing, os.O_RDONLY))
    for name in ("mmap", "mmap2"):
        rules.add(ALLOW, name, Argument(2, Compare.MASKED_EQUAL, _PROT_EXEC, 0))
        rules.add(ALLOW, name, Argument(2, Compare.MASKED_EQUAL, _PROT_WRITE | _PROT_EXEC, _PROT_EXEC))
    rules.add(ALLOW, "mprotect", Argument(2, Compare.MASKED_EQUAL, _PROT_EXEC, 0))
    # Pango looks for fonts in a thread, and GLib aborts without it. A thread shares all with this process, its filter
    # too; a new process stays refused. clone3(2) keeps its flags where no filter sees them: with ENOSYS the C library
    # takes clone(2).
    rules.add(ALLOW, "clone", Argument(0, Compare.MASKED_EQUAL, _THREAD, _THREAD))
    rules.add(refuse(errno.ENOSYS), "clone3")
    for request in (_TCGETS, _FIONBIO, _FIOCLEX, _FIONCLEX):
        rules.add(ALLOW, "ioctl", Argument(1, Compare.EQUAL, request))
    rules.add(ALLOW, "prlimit64", Argument(0, Compare.EQUAL, _PROCESS_ITSELF))  # each page has its own CPU limit
    rules.add(
        ALLOW, "tgkill", Argument(2, Compare.EQUAL, signal.SIGABRT)
    )  # abort(3) of a decoder, told as a broken document
    return rules.program()


OFFICE_CALLS = (
    # its pipe: it listens and accepts, and connects to nothing
    "bind", "listen", "accept", "accept4", "getsockname", "getpeername", "getsockopt", "setsockopt", "shutdown",
    "socketpair", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd", "eventfd2",
    # files of its own profile, and of the document
    "open", "openat", "creat", "mkdir", "mkdirat", "rmdir", "rename", "renameat", "renameat2", "unlink", "unlinkat",
    "link", "linkat", "symlink", "symlinkat", "chmod", "fchmod", "fchmodat", "utime", "utimes", "utimensat",
    "truncate", "truncate64", "fsync", "fdatasync", "msync", "flock", "chdir", "pipe", "getdents",
    # its own start, and threads; see `office_program`
    "execve", "arch_prctl", "set_tid_address", "mlock", "munlock", "mincore", "setitimer", "getitimer", "alarm",
    "pause", "tgkill", "rt_sigtimedwait", "rt_sigsuspend", "rt_sigpending", "getpgrp", "getpgid", "getsid",
    "getresuid", "getresgid", "getgroups", "getpriority", "sched_getparam", "sched_getscheduler",
    "sched_get_priority_max", "sched_get_priority_min", "inotify_init1", "capget", "wait4", "waitid",
)  # fmt: skip
"""What LibreOffice may call beside CHILD_CALLS."""
_CLONE_THREAD = 0x00010000  # linux/sched.h


@cache
def office_program() -> bytes:
    """The filter of LibreOffice: files, threads and its own Unix socket; no other process, no connection to anything.

    It may exec, for that is how it starts, but never fork: there is no process that a macro or a stolen thread of it
    could start beside it. Writable code is refused; its bridges live with that.

    Raises:
        NoSeccomp: If there is no libseccomp.
    """
    rules = Rules(refuse(errno.EPERM))
    for name in (*CHILD_CALLS, *OFFICE_CALLS):
        rules.add(ALLOW, name)
    rules.add(ALLOW, "socket", Argument(0, Compare.EQUAL, socket.AF_UNIX))
    rules.add(ALLOW, "clone", Argument(0, Compare.MASKED_EQUAL, _CLONE_THREAD, _CLONE_THREAD))
    rules.add(refuse(errno.ENOSYS), "clone3")  # its arguments lie in memory: the C library then takes clone
    for name in ("mmap", "mmap2", "mprotect"):
        rules.add(ALLOW, name, Argument(2, Compare.MASKED_EQUAL, _PROT_EXEC, 0))
        rules.add(ALLOW, name, Argument(2, Compare.MASKED_EQUAL, _PROT_WRITE | _PROT_EXEC, _PROT_EXEC))
    for request in (_TCGETS, _FIONREAD, _FIONBIO, _FIOCLEX, _FIONCLEX):
        rules.add(ALLOW, "ioctl", Argument(1, Compare.EQUAL, request))
    rules.add(ALLOW, "prlimit64", Argument(2, Compare.EQUAL, 0))  # looking, not setting
    rules.add(ALLOW, "prctl", Argument(0, Compare.EQUAL, _PR_SET_NAME))
    return rules.program()


def die_with_parent() -> None:
    """SIGKILL when the parent ends, no privilege by exec. For processes that have the standard library only.

    Raises:
        OSError: If the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for option, given in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, given, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as exc:
        raise NoSeccomp(f"{LIBRARY} cannot be loaded (Debian package libseccomp2)") from exc
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_release.restype = None
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Compared),
    )
    return library
