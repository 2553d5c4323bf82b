"""What a server should have, and how to read what it says: pure."""
