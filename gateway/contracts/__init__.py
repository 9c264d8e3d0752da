"""Frozen contracts: the words of the design as types. No I/O, no vendor, no imports from the rest of
the gateway but its errors."""
