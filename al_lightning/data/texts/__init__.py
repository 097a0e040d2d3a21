"""Text sets."""
