"""Ways out: mail and what follows."""
