"""What lets a person in: who may log in at the line."""
