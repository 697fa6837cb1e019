"""The steps of the probe plan, one file per subject."""
