"""Pages: the daemon's client, and the page processes that alone open a stranger's document."""
