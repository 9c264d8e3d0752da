"""Stand-ins for FHIR servers, started on this machine: they know what a vendor documents, and are not the vendor."""
