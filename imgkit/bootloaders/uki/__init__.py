"""Unified kernel images, whose command line is sealed."""
