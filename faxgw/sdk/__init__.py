"""The Python client of the native API: `Client` and `AsyncClient`, typed, with retries that never send twice.

    from faxgw.sdk import Client

    with Client("https://fax.example.org", token="fxt_…") as fax:
        sent = fax.send("+33199000000", ["letter.pdf"], reference="invoice 7")
        for one in fax.wait(sent.job):
            print(one.number, one.state, one.detail)

It needs httpx and pydantic; the documents are those that the gateway itself answers with (`faxgw.api.v1`).
"""

from faxgw.sdk.asynchronous import AsyncClient
from faxgw.sdk.errors import ApiError, NoAnswer
from faxgw.sdk.synchronous import Client

__all__ = ["ApiError", "AsyncClient", "Client", "NoAnswer"]
