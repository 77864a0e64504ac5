"""A hand-in as bytes: signed by the student (Ed25519, RFC 8032), sealed to the class (libsodium's sealed box).

    MAGIC, then sealed: the student's public key, 32 bytes; the signature, 64 bytes; the body

The signature is over MAGIC, the code of the class and the body: a hand-in of one class is none of another. A sealed box
says nothing about who made it; the signature does. https://doc.libsodium.org/public-key_cryptography/sealed_boxes
"""

from __future__ import annotations

import hashlib

from lab.errors import LabError
from scenarios.classroom.classes import Class

MAGIC = b"loginuid lab, hand-in 1\n"
MOST = 2 << 20  # bytes of a hand-in
_KEY, _SIGNATURE = 32, 64


class Damaged(LabError):
    """A hand-in that cannot be opened, or that is none."""


def sealed(body: bytes, student: bytes, klass: Class) -> bytes:
    """The body, signed with this secret key, for the holder of the class's key."""
    from nacl.public import PublicKey, SealedBox
    from nacl.signing import SigningKey

    key = SigningKey(student)
    signature = key.sign(_statement(klass, body)).signature
    return MAGIC + SealedBox(PublicKey(klass.key)).encrypt(bytes(key.verify_key) + signature + body)


def opened(data: bytes, secret: bytes, klass: Class) -> tuple[bytes, bytes]:
    """The student's public key, and the body that it signed. Raises Damaged."""
    from nacl.exceptions import CryptoError
    from nacl.public import PrivateKey, SealedBox
    from nacl.signing import VerifyKey

    if not data.startswith(MAGIC):
        raise Damaged("this is no hand-in")
    try:
        inside = SealedBox(PrivateKey(secret)).decrypt(data[len(MAGIC) :])
    except (CryptoError, ValueError):
        raise Damaged("it is damaged, or it is for another class") from None
    key, signature, body = inside[:_KEY], inside[_KEY : _KEY + _SIGNATURE], inside[_KEY + _SIGNATURE :]
    try:
        VerifyKey(key).verify(_statement(klass, body), signature)
    except (CryptoError, ValueError):
        raise Damaged("its signature is not that of the student's key") from None
    return key, body


def _statement(klass: Class, body: bytes) -> bytes:
    return MAGIC + klass.code.encode() + b"\0" + body


def fingerprint(key: bytes) -> str:
    """A public key in short, for people: 16 hexadecimal digits."""
    return hashlib.sha256(key).hexdigest()[:16]


def public_of(student: bytes) -> bytes:
    """The public half of a student's secret key."""
    from nacl.signing import SigningKey

    return bytes(SigningKey(student).verify_key)
