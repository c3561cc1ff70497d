"""Attacks on imgkit that run for as long as they are given: see `python -m tests.hardening --help`."""
