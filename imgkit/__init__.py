"""Give Linux images a working serial console, without root."""

__version__ = "0.1.0"
