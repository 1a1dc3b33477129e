"""Metrics in Prometheus form: what an operator watches, in base units, with few label values.

One `Metrics` has a registry of its own. Parts that see something happen count it on the attributes; values that lie
in the store are brought up to date by functions given to `before_scrape`. Label values come from the settings and
from closed enumerations of ours, never from a peer, and never hold a telephone number.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from faxgw import __version__

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Media type of `Metrics.render`: the text form that every Prometheus-like collector reads."""
SCRAPE_DEADLINE = 2.0
"""Seconds that bringing the values up to date may take; a scrape waits no longer (Prometheus gives up at 10)."""
LAG_INTERVAL = 0.25
"""Seconds between two measurements of the event loop's lag."""

_CALL_SECONDS = (5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 3600)
_ANSWER_SECONDS = (1, 2, 4, 6, 8, 10, 15, 20, 30, 45, 60)
_PAGE_SECONDS = (2, 4, 6, 8, 10, 15, 20, 30, 45, 60, 120, 300)
_RENDER_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_LATENCY_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200, 86400)
_PROMISE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_RATES = (2400, 4800, 7200, 9600, 12000, 14400)  # bit/s, ITU-T V.27 ter, V.29, V.17

log = logging.getLogger(__name__)

Refresh = Callable[[], Awaitable[None]]


class Metrics:
    """Every metric of one gateway."""

    def __init__(self) -> None:
        # The library's only switch for its second series beside each counter, which tells nobody anything.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self.registry = CollectorRegistry(auto_describe=True)
        self._refreshers: list[Refresh] = []

        self.jobs = Gauge("faxgw_jobs", "Faxes by state", ["direction", "state"], registry=registry)
        self.queue_oldest = Gauge(
            "faxgw_queue_oldest_seconds",
            "Age of the oldest fax that could be sent now",
            ["priority"],
            registry=registry,
        )
        self.calls = Counter(
            "faxgw_calls", "Calls that ended", ["trunk", "direction", "transport", "cause"], registry=registry
        )
        self.call_duration = Histogram(
            "faxgw_call_duration_seconds",
            "Answer to end of a call",
            ["direction"],
            buckets=_CALL_SECONDS,
            registry=registry,
        )
        self.answer_duration = Histogram(
            "faxgw_answer_seconds", "INVITE to answer", ["trunk"], buckets=_ANSWER_SECONDS, registry=registry
        )
        self.trunk_channels = Gauge("faxgw_trunk_channels_in_use", "Channels with a call", ["trunk"], registry=registry)
        self.trunk_limit = Gauge(
            "faxgw_trunk_channels_limit", "Channels that may be used", ["trunk"], registry=registry
        )
        self.pages = Counter(
            "faxgw_pages", "Pages that the receiving side confirmed", ["direction", "quality"], registry=registry
        )
        self.page_duration = Histogram(
            "faxgw_page_seconds",
            "Time of one page on the line",
            ["direction"],
            buckets=_PAGE_SECONDS,
            registry=registry,
        )
        self.negotiated_rate = Histogram(
            "faxgw_negotiated_bits_per_second",
            "Rate agreed on for a call",
            ["direction"],
            buckets=_RATES,
            registry=registry,
        )
        self.ecm_retries = Counter(
            "faxgw_ecm_retries", "Parts of pages sent again by error correction", ["direction"], registry=registry
        )
        self.render_duration = Histogram(
            "faxgw_render_seconds",
            "Documents of a fax to its pages",
            ["format"],
            buckets=_RENDER_SECONDS,
            registry=registry,
        )
        self.conversion_duration = Histogram(
            "faxgw_conversion_seconds",
            "Documents converted by LibreOffice, Ghostscript or GhostPCL",
            ["format", "result"],
            buckets=_RENDER_SECONDS,
            registry=registry,
        )
        self.pages_read = Counter(
            "faxgw_pages_read", "Received pages whose text or barcodes were read", ["result"], registry=registry
        )
        self.read_duration = Histogram(
            "faxgw_read_seconds", "A page kept to its text", buckets=_RENDER_SECONDS, registry=registry
        )
        self.pages_unread = Gauge("faxgw_pages_unread", "Received pages that are still to be read", registry=registry)
        self.office_starts = Counter("faxgw_office_starts", "LibreOffices started", registry=registry)
        self.smtp_sessions = Counter("faxgw_smtp_sessions", "SMTP sessions that ended", ["result"], registry=registry)
        self.smtp_connections = Gauge("faxgw_smtp_connections", "SMTP connections that are open", registry=registry)
        self.smtp_mails = Counter("faxgw_smtp_mails", "Mails at their final dot", ["result"], registry=registry)
        self.smtp_promise = Histogram(
            "faxgw_smtp_promise_seconds",
            "A mail's final dot to its promise",
            buckets=_PROMISE_SECONDS,
            registry=registry,
        )
        self.mail_template_faults = Counter(
            "faxgw_mail_template_faults", "Mails that left in the shipped designs: theirs failed", registry=registry
        )
        self.delivery_oldest = Gauge(
            "faxgw_delivery_oldest_seconds", "Age of the oldest report or delivery not yet made", registry=registry
        )
        self.delivery_latency = Histogram(
            "faxgw_delivery_latency_seconds",
            "Event to its report or delivery",
            ["route"],
            buckets=_LATENCY_SECONDS,
            registry=registry,
        )
        self.event_loop_lag = Histogram(
            "faxgw_event_loop_lag_seconds",
            "How much later than asked the event loop came back",
            buckets=_LAG_SECONDS,
            registry=registry,
        )
        Gauge("faxgw_build_info", "Version that runs", ["version"], registry=registry).labels(__version__).set(1)
        ProcessCollector(registry=registry)

    def before_scrape(self, refresh: Refresh) -> None:
        """Have `refresh` awaited before each scrape, to set values that lie elsewhere."""
        self._refreshers.append(refresh)

    async def render(self) -> bytes:
        """Bring all values up to date and write them; see CONTENT_TYPE.

        What cannot be brought up to date within SCRAPE_DEADLINE keeps its last value.
        """
        try:
            async with asyncio.timeout(SCRAPE_DEADLINE):
                for refresh in self._refreshers:
                    await refresh()
        except TimeoutError:
            log.warning("metrics are stale", extra={"event": "metrics_stale"})
        except Exception:  # owner of the scrape: a fault of one part must not blind the operator
            log.exception("metrics are stale", extra={"event": "metrics_stale"})
        return generate_latest(self.registry)


async def sample_event_loop_lag(metrics: Metrics, *, interval: float = LAG_INTERVAL) -> None:
    """Measure for ever how late the event loop is; the caller owns and ends the task.

    Args:
        metrics: Where the lag is observed.
        interval: Seconds between measurements.
    """
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval
        await asyncio.sleep(interval)
        metrics.event_loop_lag.observe(max(0.0, loop.time() - due))
