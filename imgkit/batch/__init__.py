"""Many images as one job: a plan says what is wanted, a ledger knows what was done, processes do it side by side."""
