"""Small conversations that are put to an oracle and read into a profile."""
