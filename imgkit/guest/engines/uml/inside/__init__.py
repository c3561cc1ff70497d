"""What runs inside the kernel, by path and without imgkit: see `agent`."""
