"""The request formats of each endpoint, read as messages and written back."""
