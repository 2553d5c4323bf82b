"""No secret shows: not in a repr, not in an error, not in the locals of a traceback."""

import pickle
import traceback
from base64 import b64encode
from collections.abc import Callable

import pytest

from svc_core.crypto import aead
from svc_core.crypto.argon2 import Argon2Cost, derive_argon2id
from svc_core.crypto.kdf import derive_key
from svc_core.crypto.kem import KemKey
from svc_core.crypto.passwords import hash_password, verify_password
from svc_core.crypto.policy import CryptoPolicy
from svc_core.crypto.sealing import seal, unseal
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.crypto.suite import CryptoSuite
from svc_core.domain.secrets import SecretBytes
from tests.builders import fixed_bytes, seeded_entropy

RAW = fixed_bytes("a secret nobody may see", 64)
SECRETS = {size: SecretBytes(RAW[:size]) for size in (31, 32, 63, 64)}
SEALED = seal(SECRETS[32], b"plaintext", info=b"info", aad=b"aad", entropy=seeded_entropy())
DERIVED = derive_key(SECRETS[32], salt=SEALED.salt, info=b"info").reveal()
HASHED = hash_password(SecretBytes(b"another"), entropy=seeded_entropy())
CHEAP = Argon2Cost(memory_kib=8, iterations=1, lanes=1)
CRYPTO_MODULES = tuple(
    f"svc_core/crypto/{name}.py"
    for name in ("aead", "argon2", "kdf", "kem", "passwords", "policy", "sealing", "signing")
)
SUITE = CryptoSuite.of(CryptoPolicy())

FAILURES: dict[str, Callable[[], object]] = {
    "signing seed": lambda: Signer.from_seed(Algorithm.ML_DSA_65, SECRETS[31]),
    "signing context": lambda: SUITE.messages.signer(SECRETS[32]).sign(b"", context=b""),
    "signing algorithm": lambda: SUITE.messages.signer(SECRETS[32], algorithm="none"),
    "kem seed": lambda: KemKey.from_seed(SECRETS[63]),
    "kem ciphertext": lambda: SUITE.exchange.key(SECRETS[64]).decapsulate(b"short"),
    "derived size": lambda: derive_key(SECRETS[32], salt=b"", info=b"", size=0),
    "aead key": lambda: aead.encrypt(SECRETS[31], b"", nonce=bytes(12), aad=b""),
    "aead nonce": lambda: aead.encrypt(SECRETS[32], b"", nonce=b"", aad=b""),
    "aead tag": lambda: aead.decrypt(SECRETS[32], bytes(16), nonce=bytes(12), aad=b""),
    "seal": lambda: seal(SECRETS[31], b"", info=b"", aad=b"", entropy=seeded_entropy()),
    "unseal": lambda: unseal(SECRETS[32], SEALED, info=b"info", aad=b"other"),
    "argon2 salt": lambda: derive_argon2id(SECRETS[32], salt=b"", cost=CHEAP),
    "password": lambda: verify_password(HASHED, SECRETS[32]),
}
HOLDERS: dict[str, object] = {
    "secret": SECRETS[64],
    "signer": Signer.from_seed(Algorithm.ML_DSA_65, SECRETS[32]),
    "signer's key": Signer.from_seed(Algorithm.ML_DSA_65, SECRETS[32])._key,
    "kem key": KemKey.from_seed(SECRETS[64]),
    "kem key's key": KemKey.from_seed(SECRETS[64])._key,
    "derived key": derive_key(SECRETS[32], salt=b"", info=b""),
}


def shows(text: str, raw: bytes) -> bool:
    """Say whether ``text`` holds eight bytes of ``raw`` in any usual notation."""
    part = raw[:24]
    notations = (part[:8].hex(), b64encode(part).decode()[:10], repr(part[:8])[2:-1])
    return any(notation in text for notation in notations)


def frames_text(err: BaseException, *, modules: tuple[str, ...] = CRYPTO_MODULES) -> str:
    """Return the error as it would be logged, with the locals of our own frames."""
    report = traceback.TracebackException.from_exception(err, capture_locals=True)
    ours = [f for f in report.stack if f.filename.endswith(modules)]
    assert ours, "the error was not raised where it should have been"
    values = [value for frame in ours for value in (frame.locals or {}).values()]
    return "\n".join([*report.format_exception_only(), *values])


def careless(key: bytes) -> None:
    """Fail with a secret in a local, as the modules under test must not."""
    raise ValueError(f"{len(key)} bytes")


def test_the_search_finds_what_it_looks_for() -> None:
    with pytest.raises(ValueError, match="64 bytes") as raised:
        careless(RAW)
    texts = (RAW.hex(), b64encode(RAW).decode(), repr(RAW), str({"key": RAW}))

    assert all(shows(text, RAW) for text in texts)
    assert shows(frames_text(raised.value, modules=(__file__,)), RAW)
    assert not shows(repr(DERIVED), RAW)


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_errors_and_their_frames_hold_no_secret(fail: Callable[[], object]) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 (whichever: its text is the matter)
        fail()
    text = frames_text(raised.value)

    assert not shows(text, RAW)
    assert not shows(text, DERIVED)


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
def test_what_holds_a_secret_does_not_print_it(holder: object) -> None:
    for text in (repr(holder), str(holder), f"{holder}", f"{[holder]}"):
        assert not shows(text, RAW)
    with pytest.raises(TypeError):
        pickle.dumps(holder)


def test_a_failed_check_says_nothing_but_that_it_failed() -> None:
    texts = set()
    for name in ("aead tag", "unseal", "kem ciphertext", "password"):
        with pytest.raises(Exception) as raised:  # noqa: PT011 (the text is compared)
            FAILURES[name]()
        texts.add((type(raised.value).__name__, str(raised.value), raised.value.__cause__))

    assert texts == {("VerificationError", "verification failed", None)}
