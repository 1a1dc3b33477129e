"""What the template does of a child's work before it forks any."""

from __future__ import annotations

import os
import resource
import traceback

from faxgw.document import child, protocol
from faxgw.document.types import RenderOptions


def test_the_rehearsal_leaves_nothing_behind() -> None:
    """No descriptor stays open and no limit on the template, and what children look up is known by then."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            limit, descriptors = resource.getrlimit(resource.RLIMIT_CPU), os.listdir("/proc/self/fd")
            protocol._hints.cache_clear()
            child.rehearse()
            assert resource.getrlimit(resource.RLIMIT_CPU) == limit
            assert os.listdir("/proc/self/fd") == descriptors
            misses = protocol._hints.cache_info().misses
            protocol.value(RenderOptions, protocol.plain(RenderOptions()))
            assert protocol._hints.cache_info().misses == misses > 0
            status = 0
        except BaseException:  # noqa: BLE001 - must not return into pytest
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
