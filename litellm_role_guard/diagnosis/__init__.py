"""What is wrong with a proxy's config, and with the backends that it names: findings as values."""
