"""What survives a crash: units of work, the queue, files, the directory, the outbox."""
