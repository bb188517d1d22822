"""Resolved physics: frozen dataclasses of pure numbers, and what builds them from a spec."""
