"""The user's story, with real processes: `make demo` and `make run`."""
