"""/etc/securetty: the terminals at which root may log in."""
