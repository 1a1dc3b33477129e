"""What is kept and what is not: the purge, the archive, legal holds, the audit, and junk that is set aside."""

from __future__ import annotations

from prometheus_client import Gauge

from faxgw.api.keeping import KeepingRoutes
from faxgw.dispatch.archive_export import ArchiveExport
from faxgw.dispatch.purging import AuditSettings, Purger
from faxgw.metrics import Refresh
from faxgw.parts.house import House, Part
from faxgw.store import holds, junk, purge
from faxgw.store.archive import DATABASE


async def _start(house: House) -> None:
    settings = house.settings.one("audit", AuditSettings)
    database = house.data / DATABASE
    purger = Purger(
        house.seat,
        lambda: house.health.check()["clock"].ok,
        database if database.exists() else None,
        settings.anchors,
        settings.days,
    )
    house.administer(KeepingRoutes(house.ground, purger, ArchiveExport(house.seat)))
    house.metrics.before_scrape(_gauges(house, purger))
    house.task(purger.run_for_ever(), "purge")


def _gauges(house: House, purger: Purger) -> Refresh:
    registry = house.metrics.registry
    due = Gauge("faxgw_purge_due", "Faxes whose days are over and that are still there", registry=registry)
    age = Gauge("faxgw_purge_due_seconds", "Since when the oldest of them is due", registry=registry)
    done = Gauge("faxgw_purged", "Purged since the start", ["what"], registry=registry)
    held = Gauge("faxgw_legal_holds", "Legal holds in force", registry=registry)
    aside = Gauge("faxgw_junk_set_aside", "Received faxes set aside as junk", registry=registry)

    async def refresh() -> None:
        now, store = house.seat.clock(), house.seat.store
        count, since = await store.read(lambda conn: purge.backlog(conn, now=now))
        due.set(count)
        age.set(now - since if count else 0.0)
        held.set(await store.read(holds.count))
        aside.set(await store.read(junk.count_aside))
        for what in ("documents", "faxes", "files", "rows"):
            done.labels(what).set(getattr(purger.counts, what))

    return refresh


PART = Part("keeping", _start, sections={"audit": AuditSettings})
