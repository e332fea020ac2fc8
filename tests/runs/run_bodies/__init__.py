"""Kinds of runs as a stranger's plugin brings them: one module each, named by an entry point."""
