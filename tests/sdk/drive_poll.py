"""Runs the vendor's own polling client, unchanged but for the URL; prints what it returned as one JSON list.

    .venv-sdk/bin/python tests/sdk/drive_poll.py '{"base": …, "login": …, "password": …, "how": …, "into": …}'

It fetches the list, downloads each document into a folder, fetches again, acknowledges, and fetches once more.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from retarus.commons.config import Configuration
from retarus.commons.region import Region, RegionUri
from retarus.fax_in_poll.client import FaxInPollClient


def main(given: dict[str, Any]) -> list[Any]:
    Configuration.set_auth(given["login"], given["password"])
    client = FaxInPollClient(is_async=given["how"] == "async", download_path=given["into"], page_size=5, timeout=60)
    poll = client.client
    inner = poll if given["how"] == "async" else poll.client
    inner.transporter.service_uri_regions = [RegionUri(Region.Europe, given["base"], [given["base"]])]
    loop = asyncio.new_event_loop()

    def run(made: Any) -> Any:
        return loop.run_until_complete(made) if asyncio.iscoroutine(made) else made

    topic = given["topic"]
    listed = run(poll.fetch_fax_list(topic))
    for fax in listed:
        for document in fax["documents"]:
            run(poll.download_fax(document["url"]))
    hidden = run(poll.fetch_fax_list(topic))
    acknowledged = run(poll.acknowledge_fax(topic, [fax["id"] for fax in listed]))
    return [listed, hidden, acknowledged, run(poll.fetch_fax_list(topic))]


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))  # noqa: T201
