"""The authority's own hands: OpenBao's PKI and transit engines, JetStream, the manifest file."""
