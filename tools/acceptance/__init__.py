"""What DIALS, a program none of ours, makes of exported frames."""
