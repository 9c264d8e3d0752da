"""Signing for local use: what `gateway review` and `gateway commit` act through.

Nothing else in `gateway` imports this package, so the process that commits holds no key that could approve
(AUTH-07, I5). Its commands are loaded by entry point.
"""
