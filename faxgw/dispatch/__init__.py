"""The walk of a fax: gate, dispatcher, workers, outbox, upkeep."""
