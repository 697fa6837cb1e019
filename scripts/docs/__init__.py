"""The parts of README and docs that are made from the code, and the site that shows them."""
