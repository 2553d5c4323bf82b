"""asyncio mechanics that know nothing of the domain: supervision, health, logs, workers."""
