"""The domain: values and decisions. No I/O, no clock, no asyncio."""
