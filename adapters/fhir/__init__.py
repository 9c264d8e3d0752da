"""FHIR R4 servers as an adapter, in the dialects that servers schedule by. See DIVERGENCES.md for how they differ."""
