"""A look inside trained layers, and thresholds for early exits that keep a promise."""
