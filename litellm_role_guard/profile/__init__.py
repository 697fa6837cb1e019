"""What a chat template accepts, drops and knows, as plain data."""
