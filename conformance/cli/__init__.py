"""`gateway conformance …`: the suite's commands (entry points `conformance.*` of group `gateway.commands`).

Own: their options, what people and programs are told, exit codes. Decide nothing: every command calls one function
of the suite. Modules import the suite when a command is called, so that `gateway --help` does not load it.
"""
