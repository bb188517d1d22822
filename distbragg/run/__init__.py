"""What a user does with the parts: render, create, resume, sweep, plan, look."""
