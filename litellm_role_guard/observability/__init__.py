"""What the guard did, as header, log line and counts; never message text."""
