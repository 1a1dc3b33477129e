"""The keys of our advisory locks in a PostgreSQL database: two 32-bit numbers each, known to nobody else there."""

LOCKS = 0x66617867
"""First key of the locks with a fixed meaning ("faxg")."""
WRITE_LOCK = 1
"""Held by the one transaction of all nodes that writes."""
MIGRATE_LOCK = 2
"""Held by the node that migrates."""
LEADERS = 0x66617868
"""First key of leaderships; the second is drawn from the name."""
