"""/etc/inittab: sysvinit, busybox, and OpenRC started by either."""
