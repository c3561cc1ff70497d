"""The mission: a working serial console, as recipes over trees, and its status link by link."""
