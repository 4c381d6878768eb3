"""The operations of the emulator, one module a group, named as the client's groups are."""
