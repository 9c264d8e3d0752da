"""Carry one approved scheduling decision into an external system, at most once."""
