"""What most adapters need, once: tables of what replies mean, reading JSON without guessing, local wall time, segments
of paths, settings of sealed connections.

Owns: no vendor's word. Everything here is pure; requests are the adapter's, and the boundary's to judge.
"""
