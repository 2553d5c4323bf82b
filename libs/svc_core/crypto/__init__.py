"""Cryptography as pure functions over bytes: one small module per primitive.

Nothing here does I/O or reads a clock; entropy is an argument wherever the primitive takes it.
There are no boolean results: what fails raises `svc_core.errors.VerificationError`, which says
nothing about the cause. A value of the wrong size from our own side is a `ValueError`.
"""
