"""Any RFC 4791 calendar server, as an adapter. See DIVERGENCES.md for how servers differ."""
