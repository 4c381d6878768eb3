"""The `peaka` command."""
