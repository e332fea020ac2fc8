"""The app: Codex in a browser, on the same services as the command line."""
