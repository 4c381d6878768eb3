"""Sending of requests: retries, deadlines, connections and spans. Only this folder uses aiohttp and tenacity."""
