"""`python -m tests.hostile`: the long form of the hostile proof (docs/transport.md); the last line is JSON.

4,500 mutated SIP requests, 100,000 UDPTL and 20,000 RTP datagrams, 10,000 T.30 attacks. Exit status 0: no crash, no
hang, nothing beyond its bound, and each fax that ran meanwhile arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from faxgw.line.ports import PortRange
from tests.hostile import batches, datagrams, signalling


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Do it."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--invites", type=int, default=4500)
    parser.add_argument("--udptl", type=int, default=100_000)
    parser.add_argument("--rtp", type=int, default=20_000)
    parser.add_argument("--t30", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=100_000, help="first seed; the short form has those from 0")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        siege = asyncio.run(signalling.besiege(options.invites, Path(folder), PortRange(26000, 26999), options.seed))
    _say(f"signalling: {siege}")
    storm = asyncio.run(datagrams.storm(options.udptl, options.rtp, options.seed))
    _say(f"media: {storm}")
    sessions = batches.run(options.seed, options.t30, lambda so_far: _say(f"T.30: {so_far.played} attacks"))
    _say(f"T.30: {sessions}")
    crashes = len(storm.crashes) + len(sessions.crashes)
    faults = [*siege.errors, *sessions.faults.values()]
    faults += [f"no answer after seed {seed}" for seed in siege.unanswered]
    faults += [f"fax: {came}" for came in (siege.fax, storm.fax) if came != "identical"]
    if siege.reflected:
        faults.append(f"{siege.reflected} datagrams reflected")
    if siege.grown > signalling.MAX_GROWTH:
        faults.append(f"memory grew by {siege.grown >> 20} MiB")
    _say(
        json.dumps(
            {
                "invites": siege.sent,
                "in_dialog": siege.in_dialog,
                **storm.sent,
                "t30_attacks": sessions.played,
                "crashes": crashes,
                "crash_seeds": {str(seed): how for seed, how in sessions.crashes.items()},
                "faults": faults[:20],
                "signalling_worst_ms": round(1000 * siege.worst_answer, 1),
                "grown_mib": round(siege.grown / (1 << 20), 1),
                "t30_worst_tick_ms": round(1000 * sessions.worst_tick, 1),
            }
        )
    )
    return int(bool(crashes or faults))


if __name__ == "__main__":
    sys.exit(main())
