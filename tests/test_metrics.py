from __future__ import annotations

import asyncio
import re
import time

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from faxgw import metrics
from faxgw.metrics import Metrics, sample_event_loop_lag


async def scraped(found: Metrics) -> dict[str, float]:
    """Every sample by its name and labels, as a collector reads it."""
    families = text_string_to_metric_families((await found.render()).decode())
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


async def test_what_is_counted_is_scraped() -> None:
    found = Metrics()
    found.calls.labels(trunk="main", direction="out", transport="t38", cause="busy").inc()
    found.pages.labels(direction="out", quality="fine").inc(3)
    found.jobs.labels(direction="out", state="waiting").set(7)
    found.call_duration.labels(direction="out").observe(42)
    samples = await scraped(found)
    assert samples["faxgw_calls_total cause=busy direction=out transport=t38 trunk=main"] == 1
    assert samples["faxgw_pages_total direction=out quality=fine"] == 3
    assert samples["faxgw_jobs direction=out state=waiting"] == 7
    assert samples["faxgw_call_duration_seconds_bucket direction=out le=45.0"] == 1
    assert samples["faxgw_call_duration_seconds_bucket direction=out le=30.0"] == 0


async def test_all_names_are_ours_or_the_process_and_none_is_global() -> None:
    names = re.findall(rb"^# TYPE (\S+)", await Metrics().render(), re.MULTILINE)
    assert len(names) > 15
    assert {name.split(b"_")[0] for name in names} == {b"faxgw", b"process"}
    assert not any(family.name.startswith("faxgw") for family in REGISTRY.collect())


async def test_two_gateways_in_one_process_count_apart() -> None:
    one, two = Metrics(), Metrics()
    one.smtp_sessions.labels(result="accepted").inc()
    assert "faxgw_smtp_sessions_total result=accepted" in await scraped(one)
    assert "faxgw_smtp_sessions_total result=accepted" not in await scraped(two)


async def test_values_of_the_store_are_fetched_for_each_scrape() -> None:
    found, ages = Metrics(), iter([3.0, 5.0])

    async def refresh() -> None:
        found.delivery_oldest.set(next(ages))

    found.before_scrape(refresh)
    assert (await scraped(found))["faxgw_delivery_oldest_seconds"] == 3
    assert (await scraped(found))["faxgw_delivery_oldest_seconds"] == 5


async def test_a_part_that_fails_or_hangs_does_not_blind_the_scrape(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metrics, "SCRAPE_DEADLINE", 0.05)
    broken, stuck = Metrics(), Metrics()

    async def fail() -> None:
        raise OSError("database gone")

    broken.before_scrape(fail)
    stuck.before_scrape(asyncio.Event().wait)  # type: ignore[arg-type]  # its result is of no interest
    for found in (broken, stuck):
        assert "faxgw_build_info version=0.1.0" in await scraped(found)
    assert [record.message for record in caplog.records] == ["metrics are stale"] * 2


async def test_a_blocked_event_loop_shows_in_the_lag() -> None:
    found = Metrics()
    async with asyncio.TaskGroup() as group:
        sampler = group.create_task(sample_event_loop_lag(found, interval=0.01))
        await asyncio.sleep(0)
        time.sleep(0.08)  # noqa: ASYNC251  # blocking is what is measured
        for _ in range(3):  # turns of the loop: the timer, its future, the sampler
            await asyncio.sleep(0)
        sampler.cancel()
    samples = await scraped(found)
    assert samples["faxgw_event_loop_lag_seconds_bucket le=0.05"] < samples["faxgw_event_loop_lag_seconds_count"]
