"""Gatekeeper: sends authentication requests at a fixed rate and takes the answers.

Loops: `load_orders` (which load is wanted), `load_generation` (requests out, on schedule),
`responses` (answers in), `traffic_reporting`. Publishes ``auth.auth-request``, consumes
``gatekeeper.responder``. Its journal holds the due time, the acknowledgement and the answer of
every request by id, from which a verdict on a run is computed.
"""
