"""The command line: a table of commands."""
