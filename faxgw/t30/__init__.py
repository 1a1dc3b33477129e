"""The fax engine: libspandsp through cffi, and the call worker around it. Never loaded by the daemon."""
