"""OpenRC's own init: services in /etc/init.d, started by links in /etc/runlevels."""
