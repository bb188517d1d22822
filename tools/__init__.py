"""Small checks and generators that keep the repository's parts true to one another."""
