"""The practice registry: what the practice itself knows, on its own disk.

Owns: people, patients, consents, notices, particulars, vendor identifiers and bindings, in a directory of the
practice's, outside the gateway's home. Orchestration never sees any of it but as bounded evidence (C-04).
"""
