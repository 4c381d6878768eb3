"""SQL like the service's: read-only statements in Trino's dialect, which run on DuckDB."""
