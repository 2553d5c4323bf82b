"""What to send when, and what the reports say: pure."""
