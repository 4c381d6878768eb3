"""Integrations with frameworks. Each module needs its framework, and is imported only by applications that use it."""
