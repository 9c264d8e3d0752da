"""The reference pages under `docs/` that are made from the code: failures, audit events, and F-03."""
