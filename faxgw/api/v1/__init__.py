"""The native API under /api/v1 (docs/api.md): one collection of faxes in both directions, and what belongs to it.

`table` says what an operation is and serves it; the modules named after the resources hold the operations; from the
same table `faxgw.api.openapi` makes the description that is served at /api/v1/openapi.json.
"""
