"""HL7 v2 scheduling over MLLP: SRM to a filler application, SRR and SQR from it."""
