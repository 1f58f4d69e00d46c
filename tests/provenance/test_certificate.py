"""Certificates: a given one signs, and one that can't is told in one line."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import ValidationError

from p2i_ray.config.provenance import ProvenanceConfig
from p2i_ray.errors import UserError
from p2i_ray.provenance import certificate
from p2i_ray.provenance.certificate import credentials
from p2i_ray.provenance.marker import Marker
from p2i_ray.provenance.reading import read
from tests.support.generator_parts import error_of, open_service
from tests.support.orders import order, result, rows, state
from tests.support.serving import wait_until

pytestmark = pytest.mark.long

PIXELS = np.zeros((16, 16, 3), np.uint8)
KEYS = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
    "dsa": lambda: dsa.generate_private_key(2048),
}


def write(folder: Path, key: object, *, days: int = 30, encrypted: bool = False) -> ProvenanceConfig:
    """A certificate of an authority's, as a shop might have it, and its key."""
    root = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)

    def made(name: str, public: object, is_root: bool) -> x509.Certificate:
        names = [x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, one)]) for one in (name, "Authority")]
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[0])
            .issuer_name(names[1])
            .public_key(public)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=60))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=not is_root, key_cert_sign=is_root, crl_sign=is_root, decipher_only=False, **usage
                ),
                critical=True,
            )
        )
        if not is_root:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
            )
        return builder.sign(root, hashes.SHA256())

    chain = [made("Shop", key.public_key(), False), made("Authority", root.public_key(), True)]  # type: ignore[attr-defined]
    (folder / "chain.pem").write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain))
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if encrypted:
        how = serialization.BestAvailableEncryption(b"secret")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
    (folder / "key.pem").write_bytes(key.private_bytes(*form))  # type: ignore[attr-defined]
    return ProvenanceConfig(certificate=str(folder / "chain.pem"), private_key=str(folder / "key.pem"))


@pytest.mark.parametrize("algorithm", ["es256", "es384", "ed25519", "ps256"])
def test_a_given_certificate_signs(algorithm: str, tmp_path: Path) -> None:
    settings = write(tmp_path, KEYS[algorithm]())
    found = credentials(settings)
    assert found.algorithm == algorithm and not found.made and "PRIVATE" not in repr(found)
    report = read(Marker(settings, "m").encode(PIXELS, "png", seed=1))
    assert (report.state, report.signer) == ("signed", "Shop")


def test_a_made_one_is_new_each_time() -> None:
    one, two = credentials(ProvenanceConfig()), credentials(ProvenanceConfig())
    assert one.made and one.key != two.key and one.chain != two.chain


def test_another_certificate_is_looked_for_when_one_ends(tmp_path: Path) -> None:
    marker = Marker(write(tmp_path, KEYS["es256"](), days=30), "m")
    marker._until = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    write(tmp_path, KEYS["es256"](), days=-1)
    with pytest.raises(UserError, match="not now; renew it"):
        marker.encode(PIXELS, "png", seed=1)
    write(tmp_path, KEYS["es384"]())
    assert read(marker.encode(PIXELS, "png", seed=1)).state == "signed"
    write(tmp_path, KEYS["es384"](), days=-1)
    marker._until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    assert read(marker.encode(PIXELS, "png", seed=1)).state == "signed"  # the old one still holds


def test_a_certificate_that_ended_is_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "DAYS", 2 / 86_400)
    signed = Marker(ProvenanceConfig(), "m").encode(PIXELS, "png", seed=1)
    time.sleep(3)
    assert read(signed).state == "expired"
    changed = signed[:-40] + bytes([signed[-40] ^ 1]) + signed[-39:]
    assert read(changed).state == "changed"


class EndedMarker(Marker):
    """One whose certificate has ended, until it is renewed."""

    ended, checks = True, 0

    def check(self) -> None:
        self.checks += 1
        if self.ended:
            raise UserError("it ended")


def test_nothing_is_painted_that_can_not_be_signed(tmp_path: Path) -> None:
    marker = EndedMarker(ProvenanceConfig(), "m")
    with open_service(str(tmp_path), marker=marker) as service:
        assert "certificate has ended" in error_of(service.edit(), 503)["message"]
        tried = marker.checks
        job = order(service)
        wait_until(lambda: marker.checks >= tried + 2)  # the job has tried, and waits
        assert state(service, job)["failed"] == 0 and not service.sampler.requests
        marker.ended = False
        assert [row["status"] for row in rows(result(service, job))] == ["done", "done"]  # it goes on


def test_what_can_t_sign_is_one_line(tmp_path: Path) -> None:
    settings = write(tmp_path, KEYS["es256"]())

    def refused(**changes: str) -> str:
        with pytest.raises(UserError) as raised:
            credentials(settings.model_copy(update=changes))
        return str(raised.value)

    (tmp_path / "other").mkdir()
    other = write(tmp_path / "other", KEYS["es256"]())
    (tmp_path / "text.pem").write_text("no PEM")
    assert "no.pem is no file that is there" in refused(certificate=str(tmp_path / "no.pem"))
    assert "text.pem is no certificate in PEM" in refused(certificate=str(tmp_path / "text.pem"))
    assert "text.pem is no private key in PEM" in refused(private_key=str(tmp_path / "text.pem"))
    assert "is not the key of provenance.certificate=" in refused(private_key=str(other.private_key))
    settings = write(tmp_path, KEYS["es256"](), encrypted=True)
    assert "is encrypted; give it without a pass phrase" in refused()
    settings = write(tmp_path, KEYS["es256"](), days=-1)
    assert "not now; renew it" in refused()
    settings = write(tmp_path, KEYS["dsa"]())
    assert "is of a kind that C2PA has not" in refused()
    with pytest.raises(ValidationError, match=r"give provenance.private_key, too"):
        ProvenanceConfig(certificate="a.pem")
