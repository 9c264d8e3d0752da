"""Google Calendar v3, as an adapter. See DIVERGENCES.md for what the API promises and what it does not."""
