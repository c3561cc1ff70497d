"""What serves the file tree of an installed guest."""
