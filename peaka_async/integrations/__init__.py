"""Peaka in the idiom of a framework; a module is imported by those who use its framework."""
