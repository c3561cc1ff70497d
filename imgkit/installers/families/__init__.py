"""A module for each family of installers, all with the same contents; see `imgkit.installers`."""
