"""Domain values to bytes and back: one encode/decode pair per message.

Every own record is a 2-byte format tag and one Avro record (schemas in ``schemas/*.avsc``).
Decoders are total: any bytes give a value or `MalformedMessageError` (`OversizedMessageError`
above the limit), and only the canonical encoding of a value is accepted. The prototype's untagged
records are read by `prototype`, to be looked at and for nothing else. Signing and sealing are
not done here; modules say which bytes a signature covers (``signing_input``).
"""
