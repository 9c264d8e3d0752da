"""Microsoft Graph events (Outlook calendars), as an adapter. See DIVERGENCES.md for what is promised."""
