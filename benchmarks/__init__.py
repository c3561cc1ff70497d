"""Ratios between imgkit and the tools that it replaces, measured side by side in one run."""
