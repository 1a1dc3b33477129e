"""One life of a gateway under the scripted line, cut off with SIGKILL at a counted step. Run by worlds, not a test.

A single-threaded process that has imported everything forks one life per line of its input (JSON: config, folder,
fatal, variant, epoch, speed, callers, seed); it answers with two lines, `{"pid": …}` and `{"status": …}`, the
life's wait status.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any  # the plan of a life is JSON

import faxgw.daemon
from faxgw import logs
from faxgw.dispatch import gate, inbound
from faxgw.intake import smtp_processes
from faxgw.settings import load
from faxgw.store import leader
from faxgw.store import passwords as passwords_module
from faxgw.tables import SECTIONS
from tests.faults import scripted
from tests.faults.scripted import FarEnd, FastClock, FastLoop, ScriptedLine, ScriptedMailbox, ScriptedPages
from tests.faults.scripted_callers import Callers
from tests.faults.steps import Steps
from tests.faults.variants import VARIANTS


async def live(plan: dict[str, Any], steps: Steps) -> None:
    """Run the daemon between the doubles until it is told to stop."""
    daemon_module: Any = faxgw.daemon
    gate_module: Any = gate
    passwords: Any = passwords_module
    folder, clock = Path(plan["folder"]), FastClock(plan["epoch"])
    callers = Callers(folder / "callers", steps, plan["callers"], plan["seed"])
    line = ScriptedLine(FarEnd(folder / "far-end", clock), steps, callers)
    mailbox = ScriptedMailbox(folder / "mailbox", folder / "received", steps)
    daemon_module.SipLine = lambda *_, **__: line
    daemon_module.PageClient = ScriptedPages
    daemon_module.MailDelivery = lambda *_: mailbox
    daemon_module.time = clock
    for name in ("BUDGET", "ADMIT_WITHIN"):  # real seconds: the machine is no faster than usual
        setattr(inbound, name, getattr(inbound, name) * scripted.SPEED)
    for name in ("START_WITHIN", "SILENT_AFTER", "END_WITHIN"):
        setattr(smtp_processes, name, getattr(smtp_processes, name) * scripted.SPEED)
    leader.BEAT_S /= scripted.SPEED  # in a thread, which has no fast loop
    passwords.PasswordHasher = functools.partial(passwords.PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
    if plan["variant"]:
        VARIANTS[plan["variant"]].apply(steps)
    submit = gate.Gate.submit_mail

    async def counted(self: gate.Gate, mail: Any) -> Any:
        answer = await submit(self, mail)
        steps.step("before 250")
        return answer

    gate_module.Gate.submit_mail = counted
    settings = load(Path(plan["config"]), SECTIONS, environ={})
    assert not settings.faults, settings.faults
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    daemon = faxgw.daemon.Daemon(settings)
    await daemon.start()
    (folder / "up").write_text(str(daemon.smtp_port))
    called = asyncio.create_task(_note_calls(callers, folder / "called"))
    ends = [asyncio.create_task(stop.wait()), asyncio.create_task(daemon.failed.wait())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
    assert not daemon.failed.is_set()
    await daemon.stop()
    await called


async def _note_calls(callers: Callers, path: Path) -> None:
    """Say when the last call to us of this life is over."""
    await callers.over()
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def child(plan: dict[str, Any]) -> None:
    """Be the life."""
    folder = Path(plan["folder"])
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    logs.configure(level="INFO", form="json")
    steps = Steps(plan["fatal"], folder / "steps")
    scripted.SPEED = plan["speed"]
    steps.rig()
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        runner.run(live(plan, steps))
    steps.save()


def _say(**answer: int) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    for line in sys.stdin:
        plan = json.loads(line)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child(plan)
                status = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
                raise
            finally:
                sys.stderr.flush()
                os._exit(status)
        _say(pid=pid)
        _say(status=os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main()
