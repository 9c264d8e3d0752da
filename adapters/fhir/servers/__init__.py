"""Real FHIR R4 servers that this project did not write, each started on loopback as its own process for one run.

Owns: how each is started, and what stands in it before a run: patients, one practitioner with one schedule, a place, a
service, and a free slot for each half hour of the pool. `make fhir-servers` builds them, from packages that their
authors published; nothing else here needs them. What they are, and how each behaves: ../DIVERGENCES.md.
Refuses, as `RuntimeError`: a server that was not built, that ends, or that does not answer in time.
"""
