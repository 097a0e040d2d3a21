"""Experiments: several runs over several seeds, their results, tables and figures."""
