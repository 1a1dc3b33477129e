"""Runs the vendor's own Python client, unchanged but for the URL, and prints what it returned as one JSON object.

    .venv-sdk/bin/python tests/sdk/drive.py '{"base": …, "customer": …, "login": …, "password": …, "how": …, "do": …}'

`do` is a list of steps; each is the name of a step below and its arguments. What a step returns, or the name of the
exception that it raises, stands in the list that is printed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from retarus.commons.config import Configuration
from retarus.commons.region import Region, RegionUri
from retarus.fax.client import FaxClient
from retarus.fax.model import BulkRequest, Document, Job, KeyValue, RenderingOptions, SendRecipient

PATIENCE = 60.0
"""Seconds until a report must be final."""


class Driver:
    def __init__(self, given: dict[str, Any]) -> None:
        Configuration.set_auth(given["login"], given["password"])
        Configuration.customer_number = given["customer"]
        self.given = given
        regions = [RegionUri(Region.Europe, given["base"], [given["base"]])]
        self.loop = asyncio.new_event_loop()
        if given["how"] == "async":
            self.client = FaxClient(is_async=True).client
            self.transporter = self.client.transporter
        else:
            self.client = FaxClient(is_async=False).client
            self.transporter = self.client.client.transporter
        self.transporter.service_uri_regions = regions
        self.last = ""

    def run(self, made: Any) -> Any:
        """The sync client has its own loop, the async one is driven here."""
        return self.loop.run_until_complete(made) if asyncio.iscoroutine(made) else made

    def send(self, number: str, path: str, cover: str | None = None, **properties: str) -> Any:
        pairs = [KeyValue(key=key, value=value) for key, value in properties.items()]
        options = None
        if cover is not None:
            options = RenderingOptions(
                paperFormat="A4", coverpageTemplate=cover, resolution="HIGH", header="%d.%m.%Y %rPage %P/%T"
            )
        job = Job(
            recipients=[SendRecipient(number=number, properties=pairs or None)],
            documents=[Document.from_path(path)],
            renderingOptions=options,
        )
        answer = self.run(self.client.send_fax_job(job))
        self.last = answer["jobId"]
        return answer

    def get(self, job: str | None = None) -> Any:
        return self.run(self.client.get_fax_report(job or self.last))

    def poll(self) -> Any:
        """As the vendor's example does: until no recipient is PENDING."""
        end = time.monotonic() + PATIENCE
        while True:
            report = self.get()
            if all(r["status"] != "PENDING" for r in report["recipientStatus"]) or time.monotonic() > end:
                return report
            time.sleep(0.5)

    def list(self) -> Any:
        return self.run(self.client.get_fax_reports())

    def bulk(self, action: str, *jobs: str) -> Any:
        """Its model and its transport; the method itself is commented out in the client."""
        request = BulkRequest(action=action, jobIds=list(jobs or (self.last,)))
        path = f"/{Configuration.customer_number}/fax/reports"
        return self.loop.run_until_complete(self.transporter.post(path, request.dict()))

    def delete(self, job: str | None = None) -> Any:
        return self.run(self.client.delete_fax_report(job or self.last))

    def delete_all(self) -> Any:
        return self.run(self.client.delete_all_fax_reports())

    def login(self, name: str, password: str) -> None:
        Configuration.set_auth(name, password)

    def step(self, name: str, *arguments: Any) -> Any:
        named = arguments[-1] if arguments and isinstance(arguments[-1], dict) else {}
        plain = arguments[:-1] if named else arguments
        try:
            return getattr(self, name)(*plain, **named)
        except Exception as exc:  # noqa: BLE001 - what the client raises is what is looked at
            return {"raised": type(exc).__name__, "text": str(exc)[:300]}


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    driver = Driver(given)
    print(json.dumps([driver.step(*step) for step in given["do"]]))  # noqa: T201
