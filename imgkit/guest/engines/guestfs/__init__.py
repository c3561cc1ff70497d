"""libguestfs's appliance as an engine."""
