"""athenahealth's athenaOne (REST v1), as an adapter. See DIVERGENCES.md for what the vendor documents, and what not."""
