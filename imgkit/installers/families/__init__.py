"""A module for each family of installers, with a value of `imgkit.installers.InstallerFamily`."""
