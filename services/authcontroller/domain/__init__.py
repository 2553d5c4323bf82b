"""The rules of the decision, and what the reports say: pure."""
