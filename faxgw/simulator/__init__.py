"""The far end: a park of fax machines in a process of its own, speaking real SIP and T.38."""
