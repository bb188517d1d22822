"""The version, where every layer can read it without importing the public interface."""

__version__ = "0.2.0"
