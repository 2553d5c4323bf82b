"""Cryptography as pure functions over bytes: one small module per primitive.

Nothing here does I/O or reads a clock; entropy is an argument wherever the primitive takes it.
There are no boolean results: what fails raises `svc_core.errors.VerificationError`, which says
nothing about the cause. A value of the wrong size from our own side is a `ValueError`. Secrets
come and go as `SecretBytes` and are never bound to a name as plain bytes, so that no traceback
shows them.

* Primitives: `signing` (ML-DSA), `kem` (ML-KEM), `kdf` (HKDF), `aead` (AES-256-GCM), `argon2`.
* Made of them: `sealing`, `passwords`, `merkle`, `certificates`.
* Whose implementation: `providers` says what one must offer, `registry` admits who passes
  `self_test`, `policy` names algorithms and providers, and `suite` is what a service uses.
"""
