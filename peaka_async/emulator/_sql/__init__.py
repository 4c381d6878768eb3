"""SQL as the service runs it: Trino's dialect, read only, on DuckDB."""
