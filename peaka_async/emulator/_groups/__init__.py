"""The operations of the emulator, with one module per group; the names are those of the client's groups."""
