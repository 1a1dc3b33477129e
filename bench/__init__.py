"""Benches: how fast each part is, beside a reference in the same run where there is one. See README.md."""
