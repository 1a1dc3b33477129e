"""Fixtures: a store and files of the test's own."""

from tests.house import house, house_store

__all__ = ["house", "house_store"]
