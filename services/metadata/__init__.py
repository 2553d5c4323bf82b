"""Metadata: the authority. It rotates the intermediate CA, makes the keys and hands them out.

Loops: the rotation reconciler (OpenBao PKI, ``transport/journal``, ``transport/desired``), key
issuance, the announcer (streams, ``metadata.client.ca-cert``) and the bundle responder
(``metadata.bundle-pull.svc-metadata``). Nothing else in the system decides who is trusted.
"""
