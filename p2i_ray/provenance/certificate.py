"""Certificates that sign manifests: one of the settings, or one that is made at each start.

A made one is signed by a root of its own, whose key is thrown away at once: anybody can check that a picture was not
changed since, and nobody has a reason to believe who made it. For that, a certificate of an authority is needed.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from p2i_ray.config.provenance import ProvenanceConfig
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

MADE = "p2i_ray, self-made certificate"  # its common name
DAYS = 365
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Credentials:
    """The key and certificates that a manifest is signed with.

    Attributes:
        algorithm: as C2PA calls it, e.g. es256.
        chain: certificates in PEM, the signing one first.
        key: its private key in PEM.
        until: when the certificate ends.
        made: nobody but this process vouches for it.
    """

    algorithm: str
    chain: bytes
    key: bytes
    until: datetime.datetime
    made: bool = False

    def __repr__(self) -> str:
        """Without the key, which must not stand in logs."""
        return f"Credentials({self.algorithm}, made={self.made})"


def credentials(settings: ProvenanceConfig) -> Credentials:
    """Those of the settings, or made ones.

    Raises:
        UserError: a file can't be read, is no certificate or key, they don't belong together, or it is out of date.
    """
    if settings.certificate is None or settings.private_key is None:
        return _made()
    chain = _read(settings.certificate, "certificate")
    key = _read(settings.private_key, "private_key")
    try:
        own = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise UserError(f"provenance.certificate={settings.certificate} is no certificate in PEM") from None
    named = f"provenance.private_key={settings.private_key}"
    try:
        private = serialization.load_pem_private_key(key, None)
    except TypeError:
        raise UserError(f"{named} is encrypted; give it without a pass phrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(f"{named} is no private key in PEM") from None
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != own.public_key().public_bytes(*form):
        raise UserError(
            f"{named} is not the key of provenance.certificate={settings.certificate}, whose first certificate must be "
            "the signing one"
        )
    now = datetime.datetime.now(datetime.UTC)
    if not own.not_valid_before_utc <= now <= own.not_valid_after_utc:
        raise UserError(
            f"provenance.certificate={settings.certificate} is valid from {own.not_valid_before_utc:%Y-%m-%d} to "
            f"{own.not_valid_after_utc:%Y-%m-%d}, not now; renew it"
        )
    return Credentials(_algorithm(private, named), chain, key, own.not_valid_after_utc)


def _algorithm(key: object, named: str) -> str:
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.name in CURVES:
            return CURVES[key.curve.name]
        case ed25519.Ed25519PrivateKey():
            return "ed25519"
        case rsa.RSAPrivateKey():
            return "ps256"
    raise UserError(f"{named} is of a kind that C2PA has not; take P-256, P-384, P-521, Ed25519 or RSA")


def _read(location: str, setting: str) -> bytes:
    if locations.kind(location) != "file":
        raise UserError(f"provenance.{setting}={location} is no file that is there; check the path")
    return locations.read_bytes(location)


def _made() -> Credentials:
    root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    signed = _certificate(MADE, own.public_key(), root)
    top = _certificate(f"{MADE}, root", root.public_key(), root)
    chain = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (signed, top))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Credentials("es256", chain, own.private_bytes(*form), signed.not_valid_after_utc, made=True)


def _certificate(name: str, key: ec.EllipticCurvePublicKey, root: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A certificate as C2PA's profile wants it, signed by the root; of the root's own key, the root itself."""
    is_root = key == root.public_key()
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=not is_root,
        key_cert_sign=is_root,
        crl_sign=is_root,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(f"{MADE}, root"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # of clocks that go slow
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        .add_extension(usage, critical=True)
    )
    if not is_root:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return made.sign(root, hashes.SHA256())


def _name(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "p2i_ray"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
