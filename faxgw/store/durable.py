"""The few system calls that make a name durable, and the errors of a full disk.

Measured with simulated power cuts on ext4: without a sync of the folder, a renamed file comes back under its
temporary name (reliability finding 3).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
"""No octets, inodes or quota left."""


def sync_folder(folder: Path | str) -> None:
    """Make the names in a folder durable; blocking. Raises OSError, after which they must be taken for lost."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
