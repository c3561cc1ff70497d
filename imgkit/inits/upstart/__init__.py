"""Upstart: jobs in /etc/init."""
