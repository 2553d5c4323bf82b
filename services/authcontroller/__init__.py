"""AuthController: decides authentication requests and answers each exactly once.

Loops: `authentication` (request in, decision, response out), `traffic_reporting`. Consumes
``auth.auth-request``, publishes ``gatekeeper.responder``. A request that is delivered again before
its response is stored gets the very same response; after that it is acknowledged silently.
"""
