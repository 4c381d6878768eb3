"""How a request travels: retries, deadlines, connections and spans; the only folder with aiohttp and tenacity."""
